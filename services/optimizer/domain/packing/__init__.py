"""From pods and offers to nodes, at the least price."""
