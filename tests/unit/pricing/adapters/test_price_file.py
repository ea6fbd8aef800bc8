"""Offer files: the same prices from JSON, CSV and saved answers; bad rows alone are refused, torn files whole."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from services.pricing.adapters.price_file import read_price_file
from services.pricing.domain.price_list import OnDemandPrices, Origin
from services.pricing.domain.refusals import RefusalReason
from services.pricing.errors import PriceFileError
from tests.unit.pricing.adapters import offer_files
from tests.unit.pricing.adapters.offer_files import PLAIN, REGION

EXPECTED = {name: Decimal(offer_files.price(n)) for n, name in enumerate(offer_files.instance_types(20))}
LARGE_TYPES = 5_000
MOST_RESIDENT_MB = 300

Write = Callable[..., None]


def read(path: Path, region: str = REGION) -> OnDemandPrices:
    return read_price_file(path, region=region, origin=Origin.UPLOAD)


@pytest.mark.parametrize("write", [offer_files.write_json, offer_files.write_csv])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_gives_the_plain_linux_prices_and_its_date(
    tmp_path: Path, write: Write, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "offers"
    write(path, types=20)
    path.write_bytes(pack(path.read_bytes()))
    found = read(path)
    assert found.usd_per_hour == EXPECTED
    assert (found.refused, found.origin) == ((), Origin.UPLOAD)
    assert found.published_at == datetime.fromisoformat(offer_files.PUBLISHED)


def product(name: str, prices: object, **attributes: str) -> str:
    return json.dumps(
        {
            "product": {"attributes": {"instanceType": name, "regionCode": REGION} | PLAIN | attributes},
            "terms": {"OnDemand": {"t": {"priceDimensions": {"d": {"unit": "Hrs", "pricePerUnit": prices}}}}},
        }
    )


def test_a_saved_answer_of_get_products_is_read_and_its_bad_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "products.json"
    items = [
        product("m5.large", {"USD": "0.096"}),
        product("m5.large", {"USD": "9"}, operatingSystem="Windows"),
        product("c5.large", {"USD": "NaN"}),
        product("r5.large", {"USD": "-1"}),
        product("t3.large", {"CNY": "1"}),
        "no json",
        '{"a": 1}{"b": 2}',
        product("c6.large", {"USD": "0.08"}),
        product("c6.large", {"USD": "0.08"}),
        product("x1.large", {"USD": "0.08"}, regionCode="eu-west-1"),
    ]
    path.write_text(json.dumps({"FormatVersion": "aws_v1", "PriceList": items}))
    found = read(path)
    assert found.usd_per_hour == {"m5.large": Decimal("0.096"), "c6.large": Decimal("0.08")}
    assert [row.reason for row in found.refused] == [
        RefusalReason.NOT_A_NUMBER,
        RefusalReason.NOT_POSITIVE,
        RefusalReason.OTHER_CURRENCY,
        RefusalReason.MALFORMED,
        RefusalReason.MALFORMED,
        RefusalReason.DUPLICATE,
        RefusalReason.OTHER_REGION,
    ]


@pytest.mark.parametrize("rest", ["{}", '{"products": {}}', "[1]", "\n{", "no json", "}", "{" * 100])
def test_of_two_documents_run_together_the_first_is_kept_and_the_second_refused(
    tmp_path: Path, rest: str
) -> None:
    path = tmp_path / "offers.json"
    offer_files.write_json(path, types=20)
    with path.open("a") as file:
        file.write(rest)
    found = read(path)
    assert found.usd_per_hour == EXPECTED
    assert [row.reason for row in found.refused] == [RefusalReason.SECOND_DOCUMENT]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_json_file_that_is_cut_off_is_refused_as_a_whole(tmp_path: Path, share: float) -> None:
    path = tmp_path / "offers.json"
    offer_files.write_json(path, types=20)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PriceFileError, match=r"offers\.json"):
        read(path)


def test_a_row_of_a_csv_that_is_cut_off_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "offers.csv"
    offer_files.write_csv(path, types=20, reserved_terms=0)
    lines = path.read_text().splitlines()
    lines[7] = lines[7][:40] + '"'
    path.write_text("\n".join(lines))
    found = read(path)
    assert found.usd_per_hour.items() <= EXPECTED.items()
    assert [row.reason for row in found.refused] == [RefusalReason.MALFORMED]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "no column", id="empty"),
        pytest.param(b"<html>", "no column", id="a page"),
        pytest.param(b"\xff\xfe\x00", "not a readable price file", id="binary"),
        pytest.param(b"\x1f\x8bno gzip", "not a readable price file", id="broken gzip"),
        pytest.param(gzip.compress(b"")[:10] + b"\xff" * 20, "not a readable price file", id="broken stream"),
        pytest.param(b"{}", "no on-demand price", id="an empty object"),
        pytest.param(b'{"offerCode": "AmazonRDS"}', "AmazonRDS", id="another service, JSON"),
        pytest.param(b'"OfferCode","AmazonRDS"\n"SKU"\n', "AmazonRDS", id="another service, CSV"),
    ],
)
def test_what_is_no_offer_file_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(PriceFileError, match=sentence):
        read(path)


def test_a_file_of_another_region_is_refused_and_a_missing_one_too(tmp_path: Path) -> None:
    path = tmp_path / "offers.json"
    offer_files.write_json(path, types=2)
    with pytest.raises(PriceFileError, match="region eu-west-1; 2 rows were refused"):
        read(path, "eu-west-1")
    with pytest.raises(PriceFileError, match=r"none: not a readable price file: No such file or directory$"):
        read(tmp_path / "none")


SCRIPT = """
import re, sys
from pathlib import Path
from services.pricing.adapters.price_file import read_price_file
from services.pricing.domain.price_list import Origin
found = read_price_file(Path(sys.argv[1]), region="us-east-1", origin=Origin.BULK_FILE)
# ru_maxrss would count the process that started this one, too.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(len(found.usd_per_hour), int(peak[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("write", [offer_files.write_json, offer_files.write_csv])
def test_a_file_of_hundreds_of_megabytes_is_read_in_little_memory(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "large"
    write(path, types=LARGE_TYPES, reserved_terms=12)
    assert path.stat().st_size > 100e6
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True
    )
    types, peak_mb = map(int, out.stdout.split())
    assert types == LARGE_TYPES
    assert peak_mb <= MOST_RESIDENT_MB
