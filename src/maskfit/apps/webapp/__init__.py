"""Web app: predicts every face on uploaded photos, and shows a run's report, its dataset and the label review."""
