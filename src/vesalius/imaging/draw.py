"""What is written on a picture: who it is, how it was made, and the annotations of a presentation state (PS3.3 C.10.5).

Letters are light with a dark rim, or dark with a light one, so that they can be read on any image. They are as large as
the picture allows; a line that does not fit is cut and ends with an ellipsis.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vesalius.imaging.fonts import Font, font_for, readable
from vesalius.imaging.graphics import Drawing
from vesalius.imaging.lookup import Floats, Octets
from vesalius.imaging.render import Picture, rgb_of
from vesalius.model.elements import Header
from vesalius.model.rendering import ImageFormat, RenderRequest

PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
STUDY_DATE, STUDY_TIME, INSTITUTION, MODALITY = 0x00080020, 0x00080030, 0x00080080, 0x00080060
SERIES_DESCRIPTION, STUDY_DESCRIPTION = 0x0008103E, 0x00081030
SERIES_NUMBER, INSTANCE_NUMBER, THICKNESS, LATERALITY = 0x00200011, 0x00200013, 0x00180050, 0x00200060
LOSSY, LOSSY_RATIO, LOSSY_METHOD = 0x00282110, 0x00282112, 0x00282114
KVP, TUBE_CURRENT, REPETITION, ECHO, VIEW = 0x00180060, 0x00181151, 0x00180080, 0x00180081, 0x00185101

MOST_TEXT = 64  # characters of a line
MOST_DRAWINGS = 1000
YELLOW = (255, 220, 90)
SMALLEST_LETTERS, LARGEST_LETTERS = 9, 28  # pixels
THICKEST = 20  # pixels of a line
DARK = 70  # a colour whose brightest part is less than this gets a light rim


def patient_lines(header: Header) -> list[str]:
    """Who it is and when."""
    groups = [group.replace("^", " ").strip() for group in (header.text(PATIENT_NAME) or "").split("=")]
    lines = [
        next((group for group in groups if group), ""),
        header.text(PATIENT_ID) or "",
        "  ".join(part for part in (_date(header.text(BIRTH_DATE)), header.text(SEX) or "") if part),
        "  ".join(part for part in (_date(header.text(STUDY_DATE)), _time(header.text(STUDY_TIME))) if part),
    ]
    return [line[:MOST_TEXT] for line in lines if line]


def technique_lines(header: Header, frame: int) -> list[str]:
    """How it was made."""
    number = header.text(INSTANCE_NUMBER) or ""
    lines = [
        " ".join(
            part for part in (header.text(MODALITY), header.text(SERIES_DESCRIPTION), header.text(LATERALITY)) if part
        ),
        " ".join(
            f"{name} {value}"
            for name, value in (("S", header.text(SERIES_NUMBER)), ("I", number), ("F", str(frame + 1)))
            if value
        ),
        "  ".join(
            f"{name} {value[:10]} {unit}"
            for name, tag, unit in (
                ("", THICKNESS, "mm"),
                ("", KVP, "kV"),
                ("", TUBE_CURRENT, "mA"),
                ("TR", REPETITION, "ms"),
                ("TE", ECHO, "ms"),
            )
            if (value := header.text(tag))
        ).strip(),
    ]
    return [line[:MOST_TEXT] for line in lines if line]


def loss_lines(header: Header, request: RenderRequest, scale: float) -> list[str]:
    """What the picture does not show any more: loss of the source, of the picture itself, a smaller size."""
    lines = []
    if header.text(LOSSY) == "01":
        ratio, method = header.values(LOSSY_RATIO), header.values(LOSSY_METHOD)
        detail = [f"{ratio[-1][:8]}:1"] if ratio else []
        lines.append(" ".join(["Source: lossy", *detail, *(f"({name[:16]})" for name in method[-1:])]))
    if request.format in (ImageFormat.JPEG, ImageFormat.WEBP):
        lines.append(f"Picture: lossy {request.format.name}, quality {request.quality}")
    if scale < 0.995:
        lines.append(f"Picture: reduced to {scale * 100:.0f} %")
    return lines


def draw(picture: Picture, above: list[str], below: list[str], drawings: tuple[Drawing, ...]) -> Octets:
    """The picture as RGB (or grey, where nothing is coloured) with all of it on top."""
    if not above and not below and not drawings:
        return picture.pixels
    image = Image.fromarray(picture.pixels)
    if drawings:
        image = image.convert("RGB")
    canvas = ImageDraw.Draw(image)
    size = max(SMALLEST_LETTERS + 1, min(LARGEST_LETTERS, image.height // 28))
    for each in drawings[:MOST_DRAWINGS]:
        _one(canvas, picture, each, size)
    if above or below:
        _corners(canvas, image, above, below, size)
    return np.asarray(image)


def _corners(canvas: ImageDraw.ImageDraw, image: Image.Image, above: list[str], below: list[str], size: int) -> None:
    """Lines at the left top and the left bottom, in letters that let both fit."""
    light, dark = ((235, 235, 235), (0, 0, 0)) if image.mode == "RGB" else (235, 0)
    lines = above + below
    font = font_for("".join(lines), size)
    while size > SMALLEST_LETTERS and (
        max(canvas.textlength(readable(line, font), font=font) for line in lines) + size > image.width
        or (len(lines) + 1) * size * 1.3 > image.height
    ):
        size -= 1
        font = font_for("".join(lines), size)
    rim, margin = max(1, size // 10), size // 2
    blocks = [
        "\n".join(_cut(canvas, readable(line, font), font, image.width - margin) for line in part)
        for part in (above, below)
    ]
    if blocks[0]:
        canvas.multiline_text((margin, margin), blocks[0], fill=light, font=font, stroke_width=rim, stroke_fill=dark)
    if blocks[1]:
        bottom = canvas.multiline_textbbox((0, 0), blocks[1], font=font, stroke_width=rim)[3]
        canvas.multiline_text(
            (margin, image.height - margin - bottom), blocks[1],
            fill=light, font=font, stroke_width=rim, stroke_fill=dark,
        )  # fmt: skip


def _cut(canvas: ImageDraw.ImageDraw, line: str, font: Font, width: float) -> str:
    if canvas.textlength(line, font=font) <= width:
        return line
    while line and canvas.textlength(line + "…", font=font) > width:
        line = line[:-1]
    return line + "…"


def _one(canvas: ImageDraw.ImageDraw, picture: Picture, drawing: Drawing, size: int) -> None:
    height, width = picture.pixels.shape[:2]
    limit = 4.0 * (width + height)  # far outside is as good as outside, and safe to draw

    def placed(point: tuple[float, float], displayed: bool) -> tuple[float, float]:
        x, y = (point[0] * width, point[1] * height) if displayed else picture.place(*point)
        return min(max(x, -limit), limit), min(max(y, -limit), limit)

    points = [placed(point, drawing.displayed) for point in drawing.points]
    colour = rgb_of(drawing.colour, YELLOW)
    rim = (230, 230, 230) if max(colour) < DARK else (0, 0, 0)
    thick = min(max(1, round(drawing.thickness)), THICKEST)
    if drawing.kind == "TEXT":
        anchor = placed(drawing.anchor, drawing.anchor_displayed) if drawing.anchor is not None else None
        _text(canvas, drawing, points, anchor, colour, rim, size)
        return
    lines = _outline(drawing.kind, points)
    if drawing.filled and lines and len(lines[0]) >= 3:
        canvas.polygon(lines[0], fill=rgb_of(drawing.fill, YELLOW))
    for line in lines:
        if max(colour) < DARK:
            canvas.line(line, fill=rim, width=thick + 2, joint="curve")
        canvas.line(line, fill=colour, width=thick, joint="curve")


def _outline(kind: str, points: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The lines of a graphic (PS3.3 C.10.5.1.2); none for one that is not complete."""
    if kind == "POINT":
        x, y = points[0]
        return [[(x - 4, y), (x + 4, y)], [(x, y - 4), (x, y + 4)]]
    if kind == "CIRCLE":
        if len(points) < 2:
            return []
        (x, y), (edge_x, edge_y) = points[:2]
        across, down = np.array((edge_x - x, edge_y - y)), np.array((-(edge_y - y), edge_x - x))
        return [_ring(np.array((x, y)), across, down)]
    if kind == "ELLIPSE":
        if len(points) < 4:
            return []
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points[:4]  # the ends of the major and of the minor axis
        centre = np.array(((ax + bx) / 2, (ay + by) / 2))
        return [_ring(centre, np.array((bx - ax, by - ay)) / 2, np.array((dx - cx, dy - cy)) / 2)]
    if len(points) < 2:
        return []
    return [_curve(points) if kind == "INTERPOLATED" and len(points) > 2 else points]


def _ring(centre: Floats, major: Floats, minor: Floats) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, 97)
    outline = centre + np.outer(np.cos(angles), major) + np.outer(np.sin(angles), minor)
    return [(float(x), float(y)) for x, y in outline]


def _curve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A smooth line through the points (Catmull-Rom); closed where the last is the first."""
    known = np.array(points[:MOST_DRAWINGS])
    closed = bool((known[0] == known[-1]).all())
    before = known[-2] if closed else known[0]
    after = known[1] if closed else known[-1]
    padded = np.vstack((before, known, after))
    steps = np.linspace(0, 1, 12, endpoint=False)[:, None]
    parts = []
    for at in range(len(known) - 1):
        p0, p1, p2, p3 = padded[at : at + 4]
        parts.append(
            0.5
            * (2 * p1 + (p2 - p0) * steps + (2 * p0 - 5 * p1 + 4 * p2 - p3) * steps**2
               + (3 * p1 - p0 - 3 * p2 + p3) * steps**3)
        )  # fmt: skip
    return [(float(x), float(y)) for x, y in np.vstack((*parts, known[-1:]))]


def _text(
    canvas: ImageDraw.ImageDraw,
    drawing: Drawing,
    points: list[tuple[float, float]],
    anchor: tuple[float, float] | None,
    colour: tuple[int, int, int],
    rim: tuple[int, int, int],
    size: int,
) -> None:
    """A text at its place, or in its box, with a line to what it is about (PS3.3 C.10.5.1.1)."""
    words = drawing.text[:1000]
    font = font_for(words, size)
    words = "\n".join(readable(line, font) for line in words.splitlines())
    stroke = max(1, size // 10)
    left, top = min(x for x, _ in points), min(y for _, y in points)
    right = max(x for x, _ in points)
    extent = canvas.multiline_textbbox((0, 0), words, font=font, stroke_width=stroke)
    spare = right - left - extent[2]
    if len(points) > 1 and spare > 0:
        left += spare * {"RIGHT": 1.0, "CENTER": 0.5}.get(drawing.justified, 0.0)
    if anchor is not None:
        x = min(max(anchor[0], left), left + extent[2])
        y = min(max(anchor[1], top), top + extent[3])
        canvas.line([(x, y), anchor], fill=colour)
    canvas.multiline_text(
        (left, top), words, fill=colour, font=font, stroke_width=stroke, stroke_fill=rim,
        align={"RIGHT": "right", "CENTER": "center"}.get(drawing.justified, "left"),
    )  # fmt: skip


def _date(text: str | None) -> str:
    if text and len(text) == 8 and text.isdecimal():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text or ""


def _time(text: str | None) -> str:
    return f"{text[:2]}:{text[2:4]}" if text and len(text) >= 4 and text[:4].isdecimal() else ""
