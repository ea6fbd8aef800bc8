"""AWS as the product's clients meet it: moto behind a proxy that repairs what moto lacks."""
