"""The course's figures, one file each: `draw` draws what the file's other functions make of the data.

They are built of `drawing` (colours, alt text), `diagram` (boxes and arrows), `bars` (bars in rows), `lives` (what a
recording tells of pods and claims) and `lanes` (lives as bars).
"""
