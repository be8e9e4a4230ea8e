"""Training the small models that come with repflow: recipes, data in order, cards."""
