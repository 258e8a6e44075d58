"""Pictures and tables from arrays and metrics files; matplotlib is imported at the first picture.

A plot takes an optional `ax` and returns the `Axes` (several panels: a list of them), so that a
reader can restyle it; next to each plot stands the function that computes what is drawn. Without
`ax`, a plot opens a pyplot figure, as in other libraries; code that runs unattended passes the
axes of `style.canvas()`, which no window and no notebook shows by itself.

- `curves`: learning curves of one run, means with bands over seeds of several.
- `heatmap`: heat maps of a metric over two settings, or three.
- `tables`: leaderboards with spread, significance and published numbers; `bars` draws one.
- `codes`: how evenly semantic ids use their codes.
- `neighbours`: the nearest items by name.
- `report`: one self-contained HTML page of a run.
- `files`: a picture as PNG with the numbers behind it as CSV.
"""
