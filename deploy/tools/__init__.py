"""Tools of those who build and install the product; nothing in the product imports them."""
