"""Video analysis: faces are detected, tracked and classified in a file, a stream or a camera.

capture             opens a source and reads its frames with their times
frame_times         time stamps -> seconds; the declared duration
display_matrix      how frames are rotated or mirrored for display
live_capture        keeps only the newest frame of a live source, and reconnects lost streams
tracker             boxes -> tracks
temporal_smoothing  smooths probabilities over time and debounces states
event_detector      combines the three: frames in, events out
event_writer        events as CSV rows and as text, and counts per minute
frame_annotation    draws boxes and labels on frames, or blurs faces
video_writer        frames -> a video file
pipeline            all of it
"""
