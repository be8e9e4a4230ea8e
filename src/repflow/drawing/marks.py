"""A subject's line and marker as a small inline SVG, for keys and tables."""

from repflow.drawing.style import Style, on_dark

_DASH = {"solid": "", "dash": "7 4", "dashdot": "8 3 2 3", "longdash": "12 4", "dot": "2 3", "longdashdot": "12 3 2 3"}
_SHAPES = {
    "circle": '<circle cx="17" cy="7" r="4"/>',
    "square": '<rect x="13.3" y="3.3" width="7.4" height="7.4"/>',
    "diamond": '<path d="M17 1.6 22.4 7 17 12.4 11.6 7z"/>',
    "triangle-up": '<path d="M17 2 22 11H12z"/>',
    "triangle-down": '<path d="M17 12 22 3H12z"/>',
    "triangle-left": '<path d="M12 7 21 2V12z"/>',
    "triangle-right": '<path d="M22 7 13 2V12z"/>',
    "pentagon": '<path d="M17 2 22 5.600 20 11.500H14L12 5.600z"/>',
    "hexagon": '<path d="M14.500 2.500h5L22 7l-2.500 4.500h-5L12 7z"/>',
    "cross": '<path d="M15 2h4v3h3v4h-3v3h-4V9h-3V5h3z"/>',
    "x": '<path d="m13 1 4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z"/>',
    "star": '<path d="m17 1 1.6 4h4.2l-3.4 2.6 1.3 4.2L17 9.3l-3.7 2.5 1.3-4.2L11.200 5h4.200z"/>',
}


def mark(style: Style) -> str:
    """The SVG: 34 by 14 pixels, the subject's colour, dash and marker."""
    light, dark = style.colour, on_dark(style.colour)
    fill = "var(--bg)" if style.hollow else f"light-dark({light},{dark})"
    return (
        f'<svg class="mark" width="34" height="14" viewBox="0 0 34 14" aria-hidden="true" stroke="{light}" '
        f'stroke-width="2" fill="{"#fff" if style.hollow else light}" '
        f'style="stroke:light-dark({light},{dark});fill:{fill}">'
        f'<path d="M0 7H34" stroke-dasharray="{_DASH[style.dash]}"/>{_SHAPES[style.marker]}</svg>'
    )
