"""From photos to answers: engines, views, members, votes, submissions. Knows no losses and no training loop."""
