"""Commands of this repository that are neither the operator's nor the lab's; the Makefile calls them."""
