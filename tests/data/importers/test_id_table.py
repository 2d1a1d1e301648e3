"""Tables that name photos without suffix and folder."""

from __future__ import annotations

import pytest

from maskfit.data.importers.id_table import SEVERAL
from maskfit.data.importers.photo_finder import NOT_DOWNLOADED, NOT_FOUND
from maskfit.data.read_dataset import read_photos, scan_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

ROWS = "a,wear,p1\nB,without_mask,p2\n"


@pytest.mark.parametrize("header", ["id,mask,person", "path,mask,person", "image_id,label,person", "UID,Class,person"])
def test_each_id_is_read_as_the_only_photo_of_that_name(write_tree, import_, header):
    root = write_tree("images/a.jpg", "images/deep/b.png", "images/c.jpg", texts={"labels.csv": f"{header}\n{ROWS}"})
    for source in (root, root / "labels.csv"):
        dataset = import_(source)
        assert dataset.format == "ids"
        assert [(row.photo.name, row.person, row.labels["mask"]) for row in dataset.rows] == [
            ("a.jpg", "p1", "wear"),
            ("b.png", "p2", "not_wear"),
        ]
        note = "2 names are each read as the only photo of that name, such as a as images/a.jpg"
        assert note in dataset.notes
        assert "1 photo has no row: images/c.jpg" in dataset.notes


def test_numbers_that_lost_or_gained_zeros_are_read_and_noted(write_tree, import_):
    """Spreadsheets drop zeros in front, pandas adds `.0`; a number that two photos have is nobody's."""
    text = "id,mask\n7,wear\n8.0,not_wear\n120,wear\n9,wear\n1.5,wear\n7.01,wear\n"
    names = ("007.jpg", "008.jpg", "120.jpg", "09.jpg", "009.jpg", "015.jpg", "b7.jpg")
    dataset = import_(write_tree(*names, texts={"labels.csv": text}) / "labels.csv")
    assert dataset.format == "ids"
    assert [(row.photo.name, row.labels["mask"]) for row in dataset.rows] == [
        ("007.jpg", "wear"),
        ("008.jpg", "not_wear"),
        ("120.jpg", "wear"),
    ]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("labels.csv row 5: 9 may be 009.jpg, 09.jpg", SEVERAL),
        ("labels.csv row 6: 1.5", NOT_FOUND),
        ("labels.csv row 7: 7.01", NOT_FOUND),
    ]
    note = "2 of these names differ from the photo's in zeros, as spreadsheets drop and add them: 7 as 007.jpg"
    assert note in dataset.notes


@pytest.mark.parametrize("header", ["path,mask", "image,mask", "image_url,label", "URL,mask"])
def test_urls_are_read_as_the_downloaded_photos(write_tree, import_, tmp_path, header):
    """The name is at the end of the path, in folders of the URL where that decides, or in the query."""
    text = (
        f"{header}\nhttps://a.example/p/One%201.jpg?sig=b.c&w=200,wear\nhttps://a.example/get?file=two.png,not_wear\n"
        "s3://bucket/x/3.jpg,wear\ns3://bucket/y/3.jpg,not_wear\nhttps://a.example/photos/four,wear\n"
        "https://a.example/200,wear\nhttps://b.example/p/One%201.jpg?sig=d,wear\n"
    )
    photos = ("One 1.jpg", "deep/two.png", "x/3.jpg", "y/3.jpg", "four.webp")
    root = write_tree(*photos, texts={"labels/t.csv": text})
    # Photos beside the table are others.
    write_tree("labels/other.jpg")
    dataset = import_(root / "labels" / "t.csv", images=root)
    assert dataset.format == "ids"
    assert [(row.photo.relative_to(root).as_posix(), row.labels["mask"]) for row in dataset.rows] == [
        ("One 1.jpg", "wear"),
        ("deep/two.png", "not_wear"),
        ("x/3.jpg", "wear"),
        ("y/3.jpg", "not_wear"),
        ("four.webp", "wear"),
    ]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("t.csv row 7: https://a.example/200", NOT_DOWNLOADED)
    ]


@pytest.mark.parametrize("url", ["https://a.example/{}/1.jpg", "https://a.example/get?photo={}/1.jpg"])
def test_a_photo_that_two_urls_mean_is_refused(write_tree, import_, url):
    text = f"path,mask\n{url.format('x')},wear\n{url.format('y')},not_wear\n"
    with pytest.raises(DataError, match=r"row 3: 1.jpg would be the photo of two URLs") as caught:
        import_(write_tree("1.jpg", texts={"t.csv": text}) / "t.csv")
    assert "folders" in caught.value.hint


@pytest.mark.parametrize(
    "header",
    [
        "HITId,WorkerId,Input.image_url,Answer.category.label",
        "ASSIGNMENT:task_id,ASSIGNMENT:worker_id,INPUT:image,OUTPUT:result",
        "task_id,worker_id,image_url,label",
    ],
)
def test_votes_of_crowdsourcing_are_merged_and_counted_where_asked(write_tree, import_, labels_of, header):
    """Three workers: two of three agree on a, all on b, and c is a tie of two."""
    votes = [("a", "with_mask"), ("a", "without_mask"), ("a", "with_mask"), *[("b", "without_mask")] * 3]
    votes += [("c", "with_mask"), ("c", "without_mask")]
    rows = "".join(f"1,w{number},https://x.example/{name}.jpg,{word}\n" for number, (name, word) in enumerate(votes))
    path = write_tree("a.jpg", "b.jpg", "c.jpg", texts={"votes.csv": f"{header}\n{rows}"}) / "votes.csv"
    dataset = import_(path)
    assert labels_of(dataset) == {"a.jpg": {}, "b.jpg": {"mask": "not_wear"}, "c.jpg": {}}
    assert [item.photo.name for item in dataset.disagreements] == ["a.jpg", "c.jpg"]
    assert any("--majority takes the label of most rows" in note for note in dataset.notes)
    dataset = import_(path, majority=True)
    assert labels_of(dataset) == {"a.jpg": {"mask": "wear"}, "b.jpg": {"mask": "not_wear"}, "c.jpg": {}}
    assert [item.photo.name for item in dataset.disagreements] == ["c.jpg"]
    assert any("labels that differ: 1 taken from most rows, the others stay empty" in n for n in dataset.notes)


@pytest.mark.parametrize("name", ["bbox", "Bounding Box", "Answer.annotatedResult.boundingBoxes"])
@pytest.mark.parametrize(
    "cell", ["[10, 2, 20, 9]", "10 2 20 9", '{""left"": 1, ""top"": 2, ""width"": 9, ""height"": 9.5}']
)
def test_a_box_in_one_cell_leaves_its_row_out(write_tree, import_, labels_of, name, cell):
    """Its label is a face's, and the numbers may be corners or sides; a count of boxes is no box."""
    text = f'id,{name},label\na,"{cell}",with_mask\na,"{cell}",with_mask\nb,,without_mask\nc,1,with_mask\n'
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"l.csv": text}))
    assert labels_of(dataset) == {"b.jpg": {"mask": "not_wear"}, "c.jpg": {"mask": "wear"}}
    assert [item.location for item in dataset.left_out] == ["l.csv row 2: a", "l.csv row 3: a"]
    assert all("may be corners or sides" in item.reason for item in dataset.left_out)
    text = text.replace("label", "label,left,top,width,height").replace("_mask\n", "_mask,1,2,9,9\n")
    dataset = import_(write_tree("a.jpg", "b.jpg", "c.jpg", texts={"l.csv": text}))
    assert [row.box for row in dataset.rows] == [(1, 2, 10, 11)] * 3


@pytest.mark.parametrize("columns", ["path,bbox,mask", "path,bbox,wear,not_wear"])
def test_a_box_in_one_cell_beside_paths(write_tree, import_, columns):
    cells = "wear" if columns.endswith(",mask") else "1,0"
    text = f'{columns}\na.jpg,"[10, 2, 20, 9]",{cells}\n'
    with pytest.raises(DataError, match="may be corners or sides"):
        import_(write_tree("a.jpg", texts={"l.csv": text}))


@pytest.mark.parametrize(
    ("header", "rejected"),
    [
        (
            "Input.image_url,Answer.category.label,AssignmentStatus,Reject",
            ["Rejected,", "Submitted,spam", "rejected,x"],
        ),
        ("INPUT:image,OUTPUT:result,ASSIGNMENT:status,GOLDEN:result", ["REJECTED,", " REJECTED ,", "REJECTED,a"]),
    ],
)
def test_rejected_answers_do_not_count(write_tree, import_, labels_of, header, rejected):
    """Two of three answers on a are rejected, and the only one on b; answers that nobody judged yet count."""
    answers = [("a", "with_mask", "Approved,"), ("c", "with_mask", "Submitted,")]
    answers += [("a", "without_mask", how) for how in rejected[:2]] + [("b", "without_mask", rejected[2])]
    rows = "".join(f"https://x.example/{name}.jpg,{word},{how}\n" for name, word, how in answers)
    path = write_tree("a.jpg", "b.jpg", "c.jpg", texts={"votes.csv": f"{header}\n{rows}"}) / "votes.csv"
    for options in ({}, {"majority": True}):
        dataset = import_(path, **options)
        assert labels_of(dataset) == {"a.jpg": {"mask": "wear"}, "c.jpg": {"mask": "wear"}}
        assert [(item.location, item.reason) for item in dataset.left_out] == [
            (f"votes.csv row {number}: https://x.example/{name}.jpg", "the answer was rejected")
            for number, name in ((4, "a"), (5, "a"), (6, "b"))
        ]
    assert not any("not imported" in note and "tatus" in note for note in dataset.notes)


def test_urls_without_their_photos_say_how_to_go_on(write_tree, import_):
    """Also as a dataset, whose table is then a manifest of photos that are not there."""
    path = write_tree(texts={"t.csv": "path,mask\nhttps://a.example/1.jpg,wear\n"}) / "t.csv"
    with pytest.raises(DataError, match=NOT_DOWNLOADED) as caught:
        import_(path)
    assert "--images DIR" in caught.value.hint
    write_tree("photos/other.jpg")
    with pytest.raises(DataError, match=NOT_DOWNLOADED) as caught:
        import_(path, images=path.parent / "photos")
    assert "compare the names" in caught.value.hint
    with pytest.raises(DataError, match="the folder of the photos does not exist") as caught:
        import_(path, images=path.parent / "absent")
    assert caught.value.location == str(path.parent / "absent")
    with pytest.raises(DataError, match="is a URL, and photos of a table are read from folders") as caught:
        read_photos(path, LABEL_SCHEMAS["mask"])
    assert "maskfit data import TABLE --images DIR" in caught.value.hint


def test_several_photos_of_one_name_are_named_and_none_is_taken(write_tree, import_):
    text = "id,mask\na,wear\nb,wear\nc,wear\nsub/a,not_wear\n"
    root = write_tree("x/a.jpg", "x/sub/a.png", "x/b.jpg", texts={"labels.csv": text})
    dataset = import_(root / "labels.csv")
    assert [(row.photo.name, row.labels["mask"]) for row in dataset.rows] == [("b.jpg", "wear"), ("a.png", "not_wear")]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("labels.csv row 2: a may be x/a.jpg, x/sub/a.png", SEVERAL),
        ("labels.csv row 4: c", NOT_FOUND),
    ]


@pytest.mark.parametrize(("header", "prefix"), [("path", ""), ("id", ""), ("path", "photos/"), ("id", "photos/")])
def test_photos_in_another_folder_are_found_with_images(write_tree, import_, tmp_path, header, prefix):
    """A name may begin with the folder that is named."""
    write_tree("photos/a.jpg", "photos/b.jpg")
    table = tmp_path / "elsewhere" / "labels.csv"
    table.parent.mkdir()
    rows = "".join(f"{prefix}{row}\n" for row in ROWS.split())
    table.write_text(f"{header},mask,person\n{rows}")
    (photos,) = tmp_path.rglob("photos")
    dataset = import_(table, images=photos)
    assert [row.photo for row in dataset.rows] == [photos / "a.jpg", photos / "b.jpg"]


@pytest.mark.parametrize("folder", ["/home/ann/set/", "C:\\Users\\ann\\set\\", "D:/set/"])
def test_paths_of_another_computer_are_read_as_the_photos_of_the_folder(write_tree, import_, tmp_path, folder):
    """With the folders in common: 1/a.jpg is not 2/a.jpg."""
    photos = write_tree("1/a.jpg", "2/a.jpg", "2/b.jpg")
    separator = "\\" if "\\" in folder else "/"
    table = tmp_path / "elsewhere.csv"
    names = [f"{folder}{name.replace('/', separator)}" for name in ("1/a.jpg", "2/a.jpg", "2/b.jpg", "2/c.jpg")]
    table.write_text("path,mask\n" + "".join(f"{name},wear\n" for name in names))
    dataset = import_(table, images=photos)
    assert [row.photo.relative_to(photos).as_posix() for row in dataset.rows] == ["1/a.jpg", "2/a.jpg", "2/b.jpg"]
    assert [item.reason for item in dataset.left_out] == [NOT_FOUND]
    assert any(names[0] in note for note in dataset.notes)


def test_a_photo_that_two_paths_of_another_computer_mean_is_refused(write_tree, import_, tmp_path):
    photos = write_tree("a.jpg")
    table = tmp_path / "elsewhere.csv"
    table.write_text("path,mask\n/x/1/a.jpg,wear\n/x/2/a.jpg,not_wear\n")
    with pytest.raises(DataError, match="would be the photo of two paths"):
        import_(table, images=photos)


def test_paths_that_are_there_are_a_manifest(write_tree, import_):
    root = write_tree("a.jpg", "b.jpg")
    (root / "labels.csv").write_text(f"path,mask,person\n{root / 'a.jpg'},wear,x\n{root / 'b.jpg'},wear,y\n")
    with pytest.raises(DataError, match="manifest already"):
        import_(root / "labels.csv")


def test_ids_that_are_numbers_of_rows_are_not_taken_for_photos(write_tree, import_):
    """The photo is in another column, whose name says nothing."""
    root = write_tree("1.jpg", "2.jpg", texts={"labels.csv": "id,mask,shown\n1,wear,2.jpg\n2,not_wear,1.jpg\n"})
    for format_ in (None, "ids"):
        with pytest.raises(DataError, match=r"row 2: column id means 1\.jpg, and column shown means 2\.jpg"):
            import_(root / "labels.csv", format=format_)
    (root / "labels.csv").write_text("id,mask,source\n1,wear,https://example.org/1.jpg\n2,not_wear,old.jpg\n")
    assert [row.photo.name for row in import_(root / "labels.csv").rows] == ["1.jpg", "2.jpg"]


def test_row_numbers_beside_the_names_of_photos_are_no_ids(write_tree, import_):
    rows = "1,003,1,wear\n2,001,2,not_wear\n3,002,3,wear\n"
    root = write_tree("001.jpg", "002.jpg", "003.jpg", texts={"labels.csv": f"id,code,note,mask\n{rows}"})
    with pytest.raises(DataError, match=r"row 2: column id means 001.jpg, and column code means 003.jpg"):
        import_(root / "labels.csv")
    (root / "labels.csv").write_text("id,code,mask\n1,001,wear\n2,5,not_wear\n")
    assert [row.photo.name for row in import_(root / "labels.csv").rows] == ["001.jpg", "002.jpg"]


@pytest.mark.parametrize(("name", "format_"), [("id", None), ("path", None), ("path", "ids")])
def test_boxes_beside_ids_are_read(write_tree, import_, name, format_):
    text = f"{name},mask,xmin,ymin,xmax,ymax\na,wear,1,1,15,15\na,not_wear,12,1,23,15\nb,wear,,,,\nb,wear,1,x,9,9\n"
    root = write_tree("a.jpg", "b.jpg", texts={"labels.csv": text})
    dataset = import_(root / "labels.csv", format=format_)
    assert [(row.photo.name, row.labels["mask"], row.box) for row in dataset.rows] == [
        ("a.jpg", "wear", (1, 1, 15, 15)),
        ("a.jpg", "not_wear", (12, 1, 23, 15)),
        ("b.jpg", "wear", None),
    ]
    assert [item.location for item in dataset.left_out] == ["labels.csv row 5: ymin is not a number: 'x'"]


def test_boxes_beside_urls_with_a_query_are_no_ids(write_tree, import_):
    text = "path,mask,xmin,ymin,xmax,ymax\nhttps://example.org/p/a.jpg?sig=12,wear,1,1,15,15\n"
    root = write_tree("p/a.jpg", texts={"labels.csv": text})
    dataset = import_(root / "labels.csv")
    assert (dataset.format, [row.photo.name for row in dataset.rows]) == ("boxes", ["a.jpg"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,mask\na.jpg,wear\n", "this table is a manifest already"),
        ("path,mask\na,wear\n", "this table is a manifest already"),
        ("id,mask\n7,wear\n", "the manifest has no path column; its columns are id, mask"),
        ("path,note\nb,x\n", "it has no column of labels, but note"),
    ],
)
def test_other_tables_are_not_taken_for_it(write_tree, import_, text, message):
    root = write_tree("a.jpg", "b.jpg", texts={"labels.csv": text})
    # A photo without a suffix is one as it stands.
    (root / "a").write_bytes((root / "a.jpg").read_bytes())
    with pytest.raises(DataError, match=message):
        import_(root / "labels.csv")


def test_as_a_dataset_it_is_answered_with_the_import(write_tree):
    root = write_tree("images/a.jpg", "images/b.jpg", texts={"labels.csv": f"path,mask,person\n{ROWS}"})
    (problem, *_) = scan_photos(root / "labels.csv", LABEL_SCHEMAS["mask"])[1]
    assert "names photos by ids, URLs or paths" in problem.message
    assert "maskfit data import" in problem.hint


def test_a_photo_in_the_query_comes_before_a_path_that_names_none(write_tree, import_):
    texts = {"t.csv": "image_url,mask\nhttps://a.example/view/42?file=a.jpg,wear\n"}
    dataset = import_(write_tree("a.jpg", "42.jpg", texts=texts))
    assert [row.photo.name for row in dataset.rows] == ["a.jpg"]


def test_a_sample_submission_beside_the_labels_is_ignored(write_tree, import_):
    names = ("train/a.png", "train/b.png", "train/c.png", "test/x.png", "test/y.png")
    texts = {"train.csv": "id,mask\na,wear\nb,not_wear\nc,wear\n", "sample_submission.csv": "id,mask\nx,wear\ny,wear\n"}
    dataset = import_(write_tree(*names, texts=texts))
    assert sorted(row.photo.name for row in dataset.rows) == ["a.png", "b.png", "c.png"]
    assert any("sample_submission.csv is ignored" in note for note in dataset.notes)


def test_photos_of_other_formats_beside_the_others_are_noted(write_tree, import_):
    dataset = import_(write_tree("with_mask/a.png", "without_mask/b.png", texts={"with_mask/c.tif": "x"}))
    assert len(dataset.rows) == 2
    assert "images in formats that maskfit does not read: .tif (1)" in dataset.notes
