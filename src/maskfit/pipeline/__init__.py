"""From a recipe to a submission in one command: stages whose finished work is kept and found again."""
