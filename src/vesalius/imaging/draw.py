"""What is written on a picture: who it is, how it was made, and the annotations of a presentation state (PS3.3 C.10.5).

Letters are light with a dark rim, so that they can be read on any image.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vesalius.imaging.lookup import Octets
from vesalius.imaging.presentation import Drawing
from vesalius.imaging.render import Picture
from vesalius.model.elements import Header

PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
STUDY_DATE, STUDY_TIME, INSTITUTION, MODALITY = 0x00080020, 0x00080030, 0x00080080, 0x00080060
SERIES_DESCRIPTION, STUDY_DESCRIPTION = 0x0008103E, 0x00081030
SERIES_NUMBER, INSTANCE_NUMBER, THICKNESS, LATERALITY = 0x00200011, 0x00200013, 0x00180050, 0x00200060
KVP, TUBE_CURRENT, REPETITION, ECHO, VIEW = 0x00180060, 0x00181151, 0x00180080, 0x00180081, 0x00185101

MOST_TEXT = 64  # characters of a line
MOST_DRAWINGS = 1000
YELLOW = (255, 220, 90)


def patient_lines(header: Header) -> list[str]:
    """Who it is and when."""
    name = (header.text(PATIENT_NAME) or "").split("=")[0].replace("^", " ").strip()
    lines = [
        name,
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


def draw(picture: Picture, above: list[str], below: list[str], drawings: tuple[Drawing, ...]) -> Octets:
    """The picture as RGB (or grey, where nothing is coloured) with all of it on top."""
    if not above and not below and not drawings:
        return picture.pixels
    image = Image.fromarray(picture.pixels)
    if drawings:
        image = image.convert("RGB")
    canvas = ImageDraw.Draw(image)
    size = max(10, min(28, image.height // 28))
    font = ImageFont.load_default(size)
    rim = max(1, size // 10)
    light, dark = ((235, 235, 235), (0, 0, 0)) if image.mode == "RGB" else (235, 0)
    for each in drawings[:MOST_DRAWINGS]:
        _one(canvas, picture, each, font, rim)
    margin = size // 2
    if above:
        canvas.multiline_text(
            (margin, margin), "\n".join(above), fill=light, font=font, stroke_width=rim, stroke_fill=dark
        )
    if below:
        text = "\n".join(below)
        box = canvas.multiline_textbbox((0, 0), text, font=font, stroke_width=rim)
        canvas.multiline_text(
            (margin, image.height - margin - box[3]), text, fill=light, font=font, stroke_width=rim, stroke_fill=dark
        )
    return np.asarray(image)


def _one(
    canvas: ImageDraw.ImageDraw,
    picture: Picture,
    drawing: Drawing,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    rim: int,
) -> None:
    height, width = picture.pixels.shape[:2]
    limit = 4.0 * (width + height)  # far outside is as good as outside, and safe to draw
    if drawing.displayed:
        points = [(x * width, y * height) for x, y in drawing.points]
    else:
        points = [picture.place(*point) for point in drawing.points]
    points = [(min(max(x, -limit), limit), min(max(y, -limit), limit)) for x, y in points]
    if drawing.kind == "TEXT":
        x, y = points[0]
        canvas.multiline_text(
            (x, y), drawing.text[:1000], fill=YELLOW, font=font, stroke_width=rim, stroke_fill=(0, 0, 0)
        )
    elif drawing.kind == "POINT":
        x, y = points[0]
        canvas.line([(x - 4, y), (x + 4, y)], fill=YELLOW)
        canvas.line([(x, y - 4), (x, y + 4)], fill=YELLOW)
    elif drawing.kind == "CIRCLE" and len(points) >= 2:
        (x, y), (edge_x, edge_y) = points[:2]
        radius = float(np.hypot(edge_x - x, edge_y - y))
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), outline=YELLOW)
    elif drawing.kind == "ELLIPSE" and len(points) >= 4:
        _ellipse(canvas, points)
    elif len(points) >= 2:
        if drawing.filled and len(points) >= 3:
            canvas.polygon(points, fill=YELLOW)
        else:
            canvas.line(points, fill=YELLOW, joint="curve")


def _ellipse(canvas: ImageDraw.ImageDraw, points: list[tuple[float, float]]) -> None:
    """The ends of the major and of the minor axis (PS3.3 C.10.5.1.2)."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points[:4]
    centre = np.array(((ax + bx) / 2, (ay + by) / 2))
    major, minor = np.array((bx - ax, by - ay)) / 2, np.array((dx - cx, dy - cy)) / 2
    angles = np.linspace(0, 2 * np.pi, 73)
    outline = centre + np.outer(np.cos(angles), major) + np.outer(np.sin(angles), minor)
    canvas.line([(float(x), float(y)) for x, y in outline], fill=YELLOW)


def _date(text: str | None) -> str:
    if text and len(text) == 8 and text.isdecimal():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text or ""


def _time(text: str | None) -> str:
    return f"{text[:2]}:{text[2:4]}" if text and len(text) >= 4 and text[:4].isdecimal() else ""
