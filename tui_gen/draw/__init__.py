"""Pixels and curves to terminal cells and bytes; knows no run and no widget.

    curves    the live plot: Series, Options, Mark, Plot.render(width, height, series, options) -> Frame of text runs
    series    growing data, incremental EMA, extremes per dot column      axes    stepped limits, ticks, labels
    blocks    images as half-blocks, ASCII and ANSI text                  place   boxes that keep an image's shape
    sixel     images as sixel bytes                                       kitty   images for the kitty protocol
    terminal  what the terminal can show: probe() before the application starts
    multiplexer  tmux, screen and others in between: what may be asked and written there

Only numpy is imported with these modules; Pillow only when a PNG or a palette is made.
"""
