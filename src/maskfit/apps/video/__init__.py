"""Watching a video: faces found, followed and answered for in a file, a stream or a camera's picture.

source      a word of the user's -> frames with their times; what breaks off is said
live        only the newest frame; streams that come back
tracker     boxes -> tracks
smoothing   answers over time, and states that change only when they hold
crowd       the three together: frames in, events out
events      rows and lines as they come, counts by the minute
drawing     boxes, words and blur on a frame
video       frames -> a file
run         the whole
"""
