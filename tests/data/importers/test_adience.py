"""Tests of Adience's fold files."""

from __future__ import annotations

HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\tfiducial_score\n"
END = "\t0\t414\t1086\t1383\t-115\t30\t17\n"


def test_bands_in_brackets_bare_numbers_and_none(write_tree, import_, labels_of):
    lines = [
        ("30601258@N03", "10399646885_o.jpg", "1", "(25, 32)", "f"),
        ("30601258@N03", "10424815813_o.jpg", "2", "(60, 100)", "m"),
        ("101515718@N03", "9526539204_o.jpg", "2286", "35", "u"),
        ("101515718@N03", "9526539205_o.jpg", "2287", "None", ""),
        ("101515718@N03", "9526539206_o.jpg", "2288", "(25, 23)", "f"),
        ("101515718@N03", "gone_o.jpg", "2289", "(0, 2)", "f"),
    ]
    faces = [f"faces/{user}/coarse_tilt_aligned_face.{face}.{image}" for user, image, face, _, _ in lines[:5]]
    text = HEADER + "".join("\t".join(line) + END for line in lines)
    dataset = import_(write_tree(*faces, texts={"fold_0_data.txt": text}))
    assert dataset.format == "adience"
    assert [(row.person, dict(row.labels)) for row in dataset.rows] == [
        ("30601258@N03", {"gender": "female", "age": "25 to 32"}),
        ("30601258@N03", {"gender": "male", "age": "60 to 100"}),
        ("101515718@N03", {"age": "35"}),
        ("101515718@N03", {}),
        ("101515718@N03", {"gender": "female"}),
    ]
    assert [item.location for item in dataset.left_out] == ["fold_0_data.txt row 7"]
    assert [note for note in dataset.notes if note.startswith("1 age is (25, 23)")]


def test_the_band_that_is_none_may_be_mapped(write_tree, import_):
    text = HEADER + "u\ta.jpg\t1\t(25, 23)\tf" + END
    root = write_tree("aligned/u/landmark_aligned_face.1.a.jpg", texts={"fold_0_data.txt": text})
    assert import_(root, None, "age:(25, 23)=25-32").rows[0].labels == {"gender": "female", "age": "25 to 32"}
