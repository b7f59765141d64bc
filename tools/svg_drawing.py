"""A figure as SVG: shapes, words, bars and pictures on a card of its own, which is light or dark as the reader has it.

The card is opaque, so that a page of either kind shows the figure with the contrast that it was drawn with. A picture
of pixels is within the file, as WebP, so that a figure is one file and loads nothing.
"""

import base64
import html
import io

BLUE, ORANGE, GREEN, PURPLE, GREY = "#3d8bd4", "#d9822b", "#2f9e77", "#9671d6", "#8a949e"
STYLE = (
    "<style>.card{fill:#ffffff}.ink{fill:#1f2933}.soft{fill:#52606d}.rule{stroke:#9aa5b1}.edge{stroke:#1f2933}"
    "@media (prefers-color-scheme: dark){.card{fill:#1d222b}.ink{fill:#e8ecf0}.soft{fill:#b4bec9}"
    ".rule{stroke:#67727e}.edge{stroke:#e8ecf0}}</style>"
)


class Drawing:
    """A card of `width` x `height` to draw on; `words` say what it shows to whoever does not see it."""

    def __init__(self, width, height, words):
        self.width, self.height, self.words, self.parts = width, height, words, []

    def text(self, x, y, words, size=13, anchor="start", soft=False, bold=False):
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'class="{"soft" if soft else "ink"}"{weight}>{html.escape(str(words))}</text>'
        )

    def box(self, x, y, width, height, fill="none", opacity=1.0, edge=False, radius=2):
        stroke = 'class="edge" stroke-width="1"' if edge else 'stroke="none"'
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}" fill="{fill}" '
            f'fill-opacity="{opacity:.2f}" {stroke}/>'
        )

    def line(self, x, y, to, end, color=None, width=1.0, dashed=False):
        drawn = f'stroke="{color}"' if color else 'class="rule"'
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to:.1f}" y2="{end:.1f}" {drawn} stroke-width="{width}"{dashes}/>'
        )

    def curve(self, points, color, width=2.0, fill=False):
        """Joins (x, y) points; with `fill` down to the first and the last of them."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        inside = f'fill="{color}" fill-opacity="0.25"' if fill else 'fill="none"'
        self.parts.append(f'<polyline points="{places}" {inside} stroke="{color}" stroke-width="{width}"/>')

    def arrow(self, x, y, to, end):
        """An arrow to the right, or downwards."""
        down = abs(end - y) > abs(to - x)
        tips = f"{to - 4:.1f},{end - 7:.1f} {to + 4:.1f},{end - 7:.1f}" if down else f"{to - 7:.1f},{end - 4:.1f} "
        tips += "" if down else f"{to - 7:.1f},{end + 4:.1f}"
        self.line(x, y, to, end, width=1.4)
        self.parts.append(f'<polygon points="{to:.1f},{end:.1f} {tips}" class="soft"/>')

    def grid(self, x, y, values, cell, color, top=None, words=None):
        """A square of cells, each as full as its value is large; `words(value)` stand in it."""
        top = top or max(abs(value) for row in values for value in row)
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                at = x + j * cell, y + i * cell
                shade = color if value >= 0 else ORANGE
                self.box(*at, cell - 2, cell - 2, shade, 0.12 + 0.6 * abs(value) / top, edge=True)
                if words:
                    self.text(at[0] + cell / 2 - 1, at[1] + cell / 2 + 4, words(value), 11, "middle")

    def picture(self, x, y, width, pixels, quality=82):
        """Places uint8 (H, W, 3), RGB, `width` wide; returns its height on the card."""
        from PIL import Image

        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "WEBP", quality=quality, method=6)
        height = width * pixels.shape[0] / pixels.shape[1]
        self.parts.append(
            f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'href="data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"/>'
        )
        return height

    def __str__(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" font-family="system-ui, sans-serif" role="img" '
            f'aria-label="{html.escape(self.words)}">\n{STYLE}\n'
            f'<rect class="card" width="{self.width}" height="{self.height}" rx="8"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )
