import shutil
import ssl
from pathlib import Path

import pytest

from splitwire import certificates as module
from splitwire.certificates import Identity, load_authorities
from splitwire.errors import ConfigError
from tests.certificates import Certificates

SERVER, CLIENT = ssl.Purpose.SERVER_AUTH, ssl.Purpose.CLIENT_AUTH

_MALFORMED = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
_MALFORMED_KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def refusal(certificate: Path, key: Path, purpose: ssl.Purpose = SERVER) -> str:
    with pytest.raises(ConfigError) as caught:
        Identity(certificate, key).load(purpose)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "purpose"), [("cloud", SERVER), ("rest", SERVER), ("edge", CLIENT)])
def test_key_and_certificate_are_returned_as_they_are(
    certificates: Certificates, name: str, purpose: ssl.Purpose
) -> None:
    certificate, key = certificates[f"{name}.crt"], certificates[f"{name}.key"]
    assert Identity(certificate, key).load(purpose) == (key.read_bytes(), certificate.read_bytes())


def test_one_that_its_authority_follows_in_the_file_is_usable(
    certificates: Certificates, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.crt"
    chain.write_bytes(certificates["cloud.crt"].read_bytes() + certificates["ca.crt"].read_bytes())
    assert Identity(chain, certificates["cloud.key"]).load(SERVER)[1] == chain.read_bytes()


def test_one_of_another_purpose_is_refused(certificates: Certificates) -> None:
    for name, purpose in (("cloud", CLIENT), ("edge", SERVER), ("ca", SERVER)):
        said = refusal(certificates[f"{name}.crt"], certificates[f"{name}.key"], purpose)
        assert said == f"{certificates[f'{name}.crt']} cannot be used: unsuitable certificate purpose"


def test_an_expired_one_is_refused(certificates: Certificates) -> None:
    expired = certificates.sign("cloud", days=-1, as_name="expired.crt")
    assert refusal(expired, certificates["cloud.key"]) == f"{expired} cannot be used: certificate has expired"


def test_the_key_of_another_is_refused(certificates: Certificates) -> None:
    said = refusal(certificates["cloud.crt"], certificates["rest.key"])
    assert said.endswith("rest.key cannot be used together: key values mismatch")


def test_a_key_with_a_password_is_refused_without_asking(certificates: Certificates) -> None:
    certificates.openssl("ec", "-in", "edge.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    locked = certificates["locked.key"]
    said = refusal(certificates["edge.crt"], locked, CLIENT)
    assert said == f"{locked} has a password, expected a key without one"


def test_files_that_are_none_are_named(certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates["cloud.crt"], certificates["cloud.key"]
    absent, other, malformed, malformed_key = (tmp_path / name for name in "abcd")
    other.write_text("something else")
    malformed.write_text(_MALFORMED)
    malformed_key.write_text(_MALFORMED_KEY)
    assert refusal(absent, key) == f"cannot read {absent}: No such file or directory"
    assert refusal(certificate, tmp_path) == f"cannot read {tmp_path}: Is a directory"
    assert refusal(other, key) == f"{other} holds no certificate, expected one in PEM"
    assert refusal(certificate, other) == f"{other} holds no private key, expected one in PEM"
    assert refusal(malformed, key).startswith(f"{malformed} and {key} cannot be used together: ")
    assert refusal(certificate, malformed_key).startswith(f"{certificate} and {malformed_key} cannot be used")


def test_files_that_vanish_after_the_first_look_are_named(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module._read

    def read_and_remove(path: Path, expected: str) -> bytes:
        content = read(path, expected)
        path.unlink()
        return content

    monkeypatch.setattr(module, "_read", read_and_remove)
    names = ("cloud.crt", "cloud.key", "ca.crt")
    certificate, key, authority = (Path(shutil.copy(certificates[name], tmp_path)) for name in names)
    assert refusal(certificate, key) == f"cannot read {certificate} or {key}: No such file or directory"
    with pytest.raises(ConfigError, match=f"^cannot read {authority}: No such file or directory$"):
        load_authorities(authority)


def test_authorities_are_returned_as_they_are(certificates: Certificates) -> None:
    assert load_authorities(certificates["ca.crt"]) == certificates["ca.crt"].read_bytes()


def test_an_authority_that_is_none_is_named(certificates: Certificates, tmp_path: Path) -> None:
    for content, said in (
        ("something else", "holds no certificate, expected one in PEM"),
        (_MALFORMED, "cannot be used: "),
        (certificates["cloud.crt"].read_text(), "holds no certificate of an authority"),
    ):
        path = tmp_path / "ca.crt"
        path.write_text(content)
        with pytest.raises(ConfigError, match=f"ca.crt {said}"):
            load_authorities(path)


def test_an_authority_must_not_have_expired_unless_another_has_not(
    certificates: Certificates, tmp_path: Path
) -> None:
    for name in ("ca.key", "ca.crt"):
        shutil.copy(certificates[name], tmp_path)
    ours = Certificates(tmp_path)
    extension = ["-addext", "basicConstraints=critical,CA:TRUE"]
    ours.openssl("req", "-new", "-key", "ca.key", "-subj", "/CN=old", *extension, "-out", "old.csr")
    ours.sign("old", days=-1, as_name="old.crt")
    with pytest.raises(ConfigError, match=r"old\.crt cannot be used: certificate has expired"):
        load_authorities(ours["old.crt"])
    both = ours["ca.crt"].read_bytes() + ours["old.crt"].read_bytes()
    ours["both.crt"].write_bytes(both)
    assert load_authorities(ours["both.crt"]) == both
