#!/usr/bin/env python3
"""draw.py FOLDER: the figures of docs/mathematics.md, as SVG. Their colours can be read on white
and on dark pages."""

import os
import sys

PLAIN, FORWARD, BACKWARD = "#808080", "#3f8fd2", "#dd7a1c"
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
font-family="DejaVu Sans, Arial, sans-serif" font-size="13" text-anchor="middle">
<title>{title}</title>
<defs>{markers}</defs>
"""
MARKER = """<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" \
markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" \
fill="{color}"/></marker>"""
NAMES = {PLAIN: "plain", FORWARD: "forward", BACKWARD: "backward"}


class Figure:
    def __init__(self, width, height, title):
        markers = "".join(MARKER.format(name=name, color=color) for color, name in NAMES.items())
        self.parts = [HEAD.format(width=width, height=height, title=title, markers=markers)]

    def text(self, x, y, text, color=PLAIN, anchor="middle", bold=False):
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x}" y="{y}" fill="{color}" text-anchor="{anchor}"{weight}>'
                          f"{text}</text>\n")

    def box(self, x, y, width, height, color=PLAIN, fill="none", opacity=1):
        self.parts.append(f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" '
                          f'height="{height}" rx="4" fill="{fill}" fill-opacity="{opacity}" '
                          f'stroke="{color}" stroke-width="1.3"/>\n')

    def arrow(self, start, end, color=PLAIN, dashed=False, head=True):
        (x1, y1), (x2, y2) = start, end
        dash = ' stroke-dasharray="5,3"' if dashed else ""
        tip = f' marker-end="url(#{NAMES[color]})"' if head else ""
        self.parts.append(f'<path d="M{x1:g},{y1:g} L{x2:g},{y2:g}" fill="none" stroke="{color}" '
                          f'stroke-width="1.5"{dash}{tip}/>\n')

    def dot(self, x, y, color, filled=True):
        fill = color if filled else "none"
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="4.5" fill="{fill}" stroke="{color}" '
                          'stroke-width="1.3"/>\n')

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(self.parts) + "</svg>\n")


def recurrence():
    """A chain of states: what flows along it forward, and back."""
    figure = Figure(820, 600, "The states of WKV as a chain, forward and backward")
    for top, title, color in (0, "forward", FORWARD), (310, "backward", BACKWARD):
        back = color == BACKWARD
        states, outputs, inputs = top + 160, top + 62, top + 258
        figure.text(20, top + 26, title, color, "start", bold=True)
        for t in range(4):
            x = 75 + 220 * t
            figure.box(x, states, 96, 44)
            of = t - 1 if back else t
            figure.text(x, states - 3, f"G[{of}]" if back else f"num[{of}]")
            figure.text(x, states + 14, f"H[{of}]" if back else f"den[{of}]")
            if t in (0, 3):
                where, x = ("out", x + 18) if t else ("in", x)
                figure.text(x, states + 40, "gradients of" if back else "the state", color)
                figure.text(x, states + 56, f"num[{t}], den[{t}]" if back else f"carried {where}",
                            color)
        for t in range(3):
            left, middle, right = 75 + 220 * t, 185 + 220 * t, 295 + 220 * t
            ends = [((left + 50, states), (right - 50, states)),  # from a state to the next
                    ((middle + 26, inputs - 15), (right - 34, states + 24)),  # from inputs to it
                    ((left + 34, states - 24), (middle - 26, outputs + 15)),  # ... to the output
                    ((middle, inputs - 16), (middle, outputs + 16))]  # from inputs to the output
            for start, end in ends:
                figure.arrow(*((end, start) if back else (start, end)), color)
            figure.box(middle, outputs, 56, 30)
            figure.text(middle, outputs + 5, f"q[{t}]" if back else f"y[{t}]")
            figure.box(middle, inputs, 96, 30)
            figure.text(middle, inputs + 5,
                        f"dk[{t}]  dv[{t}]" if back else f"k[{t}]  v[{t}]")
            figure.text(middle - 27, states - 6, "× e^w", color)
            figure.text(right - 63, inputs - 20, "× e^k", color, "start")
            figure.text(middle + 6, states - 40, "× e^(u+k)", color, "start")
            if back:
                figure.arrow((middle, outputs - 46), (middle, outputs - 17), BACKWARD)
                figure.text(middle + 8, outputs - 30, f"g[{t}]", BACKWARD, "start")
                figure.text(left + 52, outputs + 42, "q, −q y", BACKWARD, "end")
            else:
                figure.text(left + 52, outputs + 42, "num, den", FORWARD, "end")
    return figure


CHUNKS, STEPS, LEFT, WIDTH = 4, 8, 150, 160


def border(chunk):
    return LEFT + WIDTH * chunk


def walk(figure, chunk, y, color, dots, dashed=False):
    """Through a chunk, step by step: hollow dots are states that are there only for now."""
    step = WIDTH / STEPS
    for i in range(1, STEPS):
        if dots:
            figure.dot(border(chunk) + step * i, y, color, filled=False)
    for i in range(STEPS):
        gap = 6
        figure.arrow((border(chunk) + step * i + gap, y), (border(chunk) + step * (i + 1) - gap, y),
                     color, dashed, head=False)


def bands(figure, top, bottom):
    for chunk in range(CHUNKS):
        figure.box(border(chunk) + WIDTH / 2, (top + bottom) / 2, WIDTH - 4, bottom - top, "none",
                   PLAIN, 0.10)
        figure.text(border(chunk) + WIDTH / 2, top + 18, f"chunk {chunk}: L steps")


def chunks():
    """What is saved, and what is computed again."""
    figure = Figure(820, 340, "WKV in chunks: states saved at borders, and computed again")
    bands(figure, 10, 290)
    rows = [("forward", 60), ("backward:", 120), ("the last chunk", 138), ("the one", 200),
            ("before it", 218), ("and so on", 275)]
    for text, y in rows:
        figure.text(132, y, text, FORWARD if text == "forward" else BACKWARD, "end",
                    bold=text in ("forward", "backward:"))
    for chunk in range(CHUNKS):
        figure.arrow((border(chunk) + 7, 55), (border(chunk + 1) - 7, 55), FORWARD)
    for chunk in range(CHUNKS + 1):
        figure.dot(border(chunk), 55, FORWARD)
    for row, chunk in enumerate((3, 2)):
        y = 115 + 80 * row
        for saved in range(chunk + 1):
            figure.dot(border(saved), y, FORWARD)
        walk(figure, chunk, y, FORWARD, dots=True)
        figure.arrow((border(chunk + 1) - 6, y + 28), (border(chunk) + 6, y + 28), BACKWARD)
        figure.text(border(chunk) + WIDTH / 2, y + 46, "dk, dv, du, dw", BACKWARD)
        figure.text(border(chunk) - 8, y + 33, "G, H", BACKWARD, "end")
    figure.dot(LEFT + 8, 318, FORWARD)
    figure.text(LEFT + 20, 323, "a state that forward has saved", PLAIN, "start")
    figure.dot(LEFT + 258, 318, FORWARD, filled=False)
    figure.text(LEFT + 270, 323, "one that backward computes again, for this chunk alone", PLAIN,
                "start")
    return figure


def scan():
    """Time in parallel."""
    figure = Figure(820, 335, "Time in parallel: chunks summarised, composed, finished")
    bands(figure, 10, 300)
    for text, y in (("1. at once:", 70), ("a summary", 88), ("2. in order:", 165),
                    ("the states", 183), ("3. at once:", 255), ("the outputs", 273)):
        figure.text(132, y, text, PLAIN, "end", bold=text[1] == ".")
    for chunk in range(CHUNKS):
        middle = border(chunk) + WIDTH / 2
        figure.text(border(chunk) + 14, 76, "0", FORWARD)
        figure.arrow((border(chunk) + 24, 71), (border(chunk + 1) - 14, 71), FORWARD)
        figure.text(middle, 96, f"num_{chunk}, den_{chunk}", FORWARD)
        figure.arrow((middle, 104), (border(chunk + 1) - 22, 154), FORWARD, dashed=True)
        figure.arrow((border(chunk) + 7, 166), (border(chunk + 1) - 7, 166), FORWARD)
        figure.text(middle - 22, 158, "× e^(Lw)", FORWARD)
        figure.arrow((border(chunk) + 1, 174), (border(chunk) + 15, 246), FORWARD, dashed=True)
        figure.arrow((border(chunk) + 18, 255), (border(chunk + 1) - 10, 255), FORWARD)
        figure.text(middle, 282, f"y of chunk {chunk}", FORWARD)
    for chunk in range(CHUNKS + 1):
        figure.dot(border(chunk), 166, FORWARD)
    figure.text(border(2), 324, "backward does the same from right to left, with G and H", BACKWARD)
    return figure


FIGURES = {"recurrence.svg": recurrence, "chunks.svg": chunks, "scan.svg": scan}


def main(folder):
    for name, draw in FIGURES.items():
        draw().write(os.path.join(folder, name))


if __name__ == "__main__":
    main(*sys.argv[1:])
