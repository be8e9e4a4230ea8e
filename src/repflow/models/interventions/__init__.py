"""Interventions (METHODS 9): what is changed in a loaded model, and undone. Only `grammar` is free of torch."""
