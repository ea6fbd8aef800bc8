"""The five services. They never import each other; they speak over the bus."""
