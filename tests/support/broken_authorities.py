"""Every way in which we know a certificate authority to go wrong, with what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from navarch.core.model.reasons import Reason

from tests.support.authorities import (
    Broken,
    Data,
    Made,
    a_root,
    a_signer,
    an_rsa_key,
    change,
    constrain,
    join,
    make,
    revoke,
    weaken,
    with_usage,
    write,
    write_tls,
)

PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def signed_by(root: Made, **how: object) -> Data:
    return write(make("signer", root, **how))  # type: ignore[arg-type]


def a_crl() -> bytes:
    return b"".join(revoke(each) for each in a_signer().chain)


def by_a_stranger() -> Data:
    """The signer names the root that is trusted, and another key signed it."""
    signer = make("signer", make("root 1"))
    return write(signer, roots=(a_root(),), chain=(signer,))


@cache
def an_rsa_root() -> Made:
    return make("root 9", key=an_rsa_key())


def signed_with_sha1() -> Data:
    return write(weaken(make("signer", an_rsa_root()), an_rsa_root()))


def without_the_middle() -> Data:
    signer = a_signer()
    return write(signer, chain=(signer,))


def with_roots(*more: Made) -> Data:
    return change(root_cert=join(a_root(), *more))


OF_THE_SECRET: Mapping[str, Broken] = {
    "no keys": Broken(
        dict, (Reason.AUTHORITY_INCOMPLETE,), "data", "finds no certificate authority", "no such file"
    ),
    "keys of other names": Broken(
        lambda: {"ca.pem": a_root().pem, "key.pem": a_root().private},
        (Reason.AUTHORITY_INCOMPLETE,),
        "data",
        "it has ca.pem; key.pem",
        "no such file",
    ),
    "half of it": Broken(
        lambda: change(root_cert=None, cert_chain=None),
        (Reason.AUTHORITY_INCOMPLETE, Reason.AUTHORITY_INCOMPLETE),
        "cert-chain.pem",
        "is missing",
        "no such file",
    ),
    "no key": Broken(
        lambda: change(ca_key=None),
        (Reason.AUTHORITY_INCOMPLETE,),
        "ca-key.pem",
        "is missing",
        "no such file",
    ),
    "kubernetes.io/tls without its root": Broken(
        lambda: {key: value for key, value in write_tls(a_signer()).items() if key != "ca.crt"},
        (Reason.AUTHORITY_INCOMPLETE,),
        "ca.crt",
        "is missing",
        "no such file",
    ),
    "an empty root": Broken(
        lambda: change(root_cert=b"\n"),
        (Reason.AUTHORITY_INCOMPLETE,),
        "root-cert.pem",
        "is empty",
        "unknown authority",
    ),
    "an empty chain": Broken(
        lambda: write(make("signer", a_root()), chain=()),
        (Reason.AUTHORITY_INCOMPLETE,),
        "cert-chain.pem",
        "is empty",
        client="unknown authority",
    ),
    "both forms at once": Broken(
        lambda: {**change(), **write_tls(make("other", make("root 2")))},
        (Reason.AUTHORITY_FORMS_MIXED,),
        "ca-cert.pem",
        "as it has tls.crt, istiod ignores ca-cert.pem; ca-key.pem; cert-chain.pem; root-cert.pem",
    ),
    "a megabyte": Broken(
        lambda: change(root_cert=a_root().pem * 3000),
        (Reason.AUTHORITY_TOO_LARGE,),
        "data",
        "1,048,576 bytes in a Secret",
    ),
    "65 certificates": Broken(
        lambda: change(root_cert=a_root().pem * 65),
        (Reason.AUTHORITY_TOO_LARGE,),
        "root-cert.pem",
        "has more than 64 PEM blocks",
    ),
    "DER": Broken(
        lambda: change(ca_cert=a_signer().certificate.public_bytes(Encoding.DER)),
        (Reason.AUTHORITY_UNREADABLE,),
        "ca-cert.pem",
        "is DER, and not PEM",
        "failed to parse cert PEM",
    ),
    "no PEM": Broken(
        lambda: change(ca_cert=b"hunter2"),
        (Reason.AUTHORITY_UNREADABLE,),
        "ca-cert.pem",
        "holds no PEM block",
        "failed to parse cert PEM",
    ),
    "two files without a newline between": Broken(
        lambda: change(cert_chain=join(*a_signer().chain).replace(b"-----\n-----", b"----------")),
        (Reason.AUTHORITY_UNREADABLE,),
        "cert-chain.pem",
        "has a BEGIN or END that belongs to no block in line 1",
        "unknown authority",
    ),
    "a certificate that is cut off": Broken(
        lambda: change(root_cert=a_root().pem[:-100]),
        (Reason.AUTHORITY_UNREADABLE,),
        "root-cert.pem",
        "has a BEGIN or END that belongs to no block in line 1",
        "unknown authority",
    ),
    "a certificate with a byte changed": Broken(
        lambda: change(root_cert=a_root().pem.replace(b"\nMII", b"\nMIX", 1)),
        (Reason.AUTHORITY_UNREADABLE,),
        "root-cert.pem",
        "has a certificate that cannot be read in line 1",
        "unknown authority",
    ),
    "a certificate with headers": Broken(
        lambda: change(
            root_cert=a_root().pem.replace(b"CERTIFICATE-----\n", b"CERTIFICATE-----\nName: root\n\n", 1)
        ),
        (Reason.AUTHORITY_UNREADABLE,),
        "root-cert.pem",
        "has a certificate with headers",
        "unknown authority",
    ),
    "openssl's own kind of certificate": Broken(
        lambda: change(root_cert=a_root().pem.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE")),
        (Reason.AUTHORITY_UNREADABLE,),
        "root-cert.pem",
        "has a block TRUSTED CERTIFICATE in line 1",
        "unknown authority",
    ),
    "text before the root": Broken(
        lambda: change(root_cert=b"subject=CN = root 1\n" + a_root().pem),
        (Reason.AUTHORITY_STRAY_TEXT,),
        "root-cert.pem",
        "in line 1",
    ),
    "text behind the chain": Broken(
        lambda: change(cert_chain=join(*a_signer().chain) + b"# made by hand\n"),
        (Reason.AUTHORITY_STRAY_TEXT,),
        "cert-chain.pem",
        "text beside its PEM blocks",
    ),
    "a key that istiod does not read": Broken(
        lambda: {**change(), "root.pem": a_root().pem},
        (Reason.AUTHORITY_KEYS_UNREAD,),
        "root.pem",
        "istiod reads no root.pem",
    ),
}
OF_KEYS: Mapping[str, Broken] = {
    "an encrypted key": Broken(
        lambda: change(ca_key=a_signer().write_key(PrivateFormat.PKCS8, b"pass")),
        (Reason.AUTHORITY_KEY_UNREADABLE,),
        "ca-key.pem",
        "is encrypted (ENCRYPTED PRIVATE KEY in line 1)",
        "unsupported PEM block type",
    ),
    "an encrypted key of the old kind": Broken(
        lambda: change(ca_key=a_signer().write_key(PrivateFormat.TraditionalOpenSSL, b"pass")),
        (Reason.AUTHORITY_KEY_UNREADABLE,),
        "ca-key.pem",
        "is encrypted (EC PRIVATE KEY in line 1)",
        "failed to parse",
    ),
    "a key behind the parameters of its curve": Broken(
        lambda: change(ca_key=PARAMETERS + a_signer().write_key(PrivateFormat.TraditionalOpenSSL)),
        (Reason.AUTHORITY_UNREADABLE,),
        "ca-key.pem",
        "has a block EC PARAMETERS in line 1",
        "unsupported PEM block type",
    ),
    "a key under the label of another form": Broken(
        lambda: change(ca_key=a_signer().private.replace(b" PRIVATE", b" RSA PRIVATE")),
        (Reason.AUTHORITY_KEY_UNREADABLE,),
        "ca-key.pem",
        "under the label of another form",
        "failed to parse",
    ),
    "a broken key": Broken(
        lambda: change(ca_key=a_signer().private.replace(b"\nMI", b"\nMA", 1)),
        (Reason.AUTHORITY_KEY_UNREADABLE,),
        "ca-key.pem",
        "cannot be read",
        "failed to parse",
    ),
    "another CA's key": Broken(
        lambda: change(ca_key=make("other").private),
        (Reason.AUTHORITY_KEY_MISMATCH,),
        "ca-key.pem",
        "it belongs to none of the certificates here",
        "does not match the key",
    ),
    "the root's key": Broken(
        lambda: change(ca_key=a_root().private),
        (Reason.AUTHORITY_KEY_MISMATCH,),
        "ca-key.pem",
        "it belongs to CN=root 1",
        "does not match the key",
    ),
    "key and certificate in each other's place": Broken(
        lambda: change(ca_key=a_signer().pem, ca_cert=a_signer().private),
        (Reason.AUTHORITY_UNREADABLE, Reason.AUTHORITY_KEY_EXPOSED),
        "ca-key.pem",
        "has a block CERTIFICATE in line 1, where a private key belongs",
        "failed to parse cert PEM",
    ),
    "a key in the chain": Broken(
        lambda: change(cert_chain=join(*a_signer().chain) + a_signer().private),
        (Reason.AUTHORITY_KEY_EXPOSED,),
        "cert-chain.pem",
        "istiod hands this out to every proxy",
    ),
    "a short RSA key": Broken(
        lambda: write(make("signer", a_root(), key=an_rsa_key(1024))),
        (Reason.AUTHORITY_WEAK,),
        "ca-cert.pem",
        "its key is RSA 1024",
    ),
    "a curve that istiod does not have": Broken(
        lambda: write(make("signer", a_root(), key=ec.generate_private_key(ec.SECP256K1()))),
        (Reason.AUTHORITY_ALGORITHM,),
        "ca-cert.pem",
        "its key is ECDSA secp256k1: istiod cannot use it",
        "failed to parse X.509 certificate",
    ),
    "Ed25519": Broken(
        lambda: write(make("signer", a_root(), key=ed25519.Ed25519PrivateKey.generate())),
        (Reason.AUTHORITY_ALGORITHM,),
        "ca-cert.pem",
        "its key is Ed25519",
    ),
    "P-521": Broken(
        lambda: write(make("signer", a_root(), key=ec.generate_private_key(ec.SECP521R1()))),
        (Reason.AUTHORITY_ALGORITHM,),
        "ca-cert.pem",
        "its key is ECDSA P-521",
    ),
}
OF_CHAINS: Mapping[str, Broken] = {
    "the root first": Broken(
        lambda: change(cert_chain=join(*reversed(a_signer().chain))),
        (Reason.AUTHORITY_CHAIN_ORDER,),
        "cert-chain.pem",
        "istiod sends the chain as it is",
    ),
    "middle and root exchanged": Broken(
        lambda: change(cert_chain=join(a_signer(), a_root(), a_signer().chain[1])),
        (Reason.AUTHORITY_CHAIN_ORDER,),
        "cert-chain.pem",
        "istiod sends the chain as it is",
    ),
    "the middle missing": Broken(
        without_the_middle,
        (Reason.AUTHORITY_CHAIN_BROKEN,),
        "ca-cert.pem",
        "was signed by CN=middle, which is not in cert-chain.pem or root-cert.pem",
        "unknown authority",
    ),
    "the signer missing": Broken(
        lambda: change(cert_chain=join(*a_signer().chain[1:])),
        (Reason.AUTHORITY_CHAIN_BROKEN,),
        "cert-chain.pem",
        "lacks CN=signer",
        client="unknown authority",
    ),
    "the chain beside the signer": Broken(
        lambda: change(ca_cert=join(*a_signer().chain), cert_chain=a_signer().pem),
        (Reason.AUTHORITY_CHAIN_BROKEN,),
        "ca-cert.pem",
        "which stands in ca-cert.pem, where istiod reads only the first certificate",
        "unknown authority",
    ),
    "another root": Broken(
        lambda: write(a_signer(), chain=a_signer().chain[:2], roots=(make("root 2"),)),
        (Reason.AUTHORITY_CHAIN_BROKEN,),
        "cert-chain.pem",
        "was signed by CN=root 1, which is not in",
        "unknown authority",
    ),
    "a signer that is its own root": Broken(
        lambda: write(make("root 3"), roots=(a_root(),)),
        (Reason.AUTHORITY_CHAIN_BROKEN,),
        "ca-cert.pem",
        "is a root of its own that is not in root-cert.pem",
        "unknown authority",
    ),
    "a root of the right name with another key": Broken(
        by_a_stranger,
        (Reason.AUTHORITY_CHAIN_BROKEN,),
        "ca-cert.pem",
        "another CA of the same name",
        "unknown authority",
    ),
    "a certificate twice": Broken(
        lambda: change(cert_chain=join(a_signer(), *a_signer().chain)),
        (Reason.AUTHORITY_DUPLICATE,),
        "cert-chain.pem",
        "is in it 2 times",
    ),
    "a certificate of no use": Broken(
        lambda: change(cert_chain=join(*a_signer().chain, make("stranger"))),
        (Reason.AUTHORITY_DUPLICATE,),
        "cert-chain.pem",
        "leads to no root",
    ),
    "two roots": Broken(
        lambda: with_roots(make("root 2")),
        (Reason.AUTHORITY_SEVERAL_ROOTS,),
        "root-cert.pem",
        "is one of 2 roots",
    ),
    "a root twice": Broken(
        lambda: with_roots(a_root()), (Reason.AUTHORITY_DUPLICATE,), "root-cert.pem", "is in it 2 times"
    ),
    "two roots of one name": Broken(
        lambda: with_roots(make("root 1")),
        (Reason.AUTHORITY_SEVERAL_ROOTS, Reason.AUTHORITY_ROOT_LOOKALIKE),
        "root-cert.pem",
        "is one of 2 roots",
    ),
    "an old root that has expired": Broken(
        lambda: with_roots(make("root 0", since=99, days=-1)),
        (Reason.AUTHORITY_SEVERAL_ROOTS, Reason.AUTHORITY_EXPIRED),
        "root-cert.pem",
        "is one of 2 roots",
    ),
    "the middle in the root's place": Broken(
        lambda: write(a_signer(), chain=a_signer().chain[:1], roots=(a_signer().chain[1],)),
        (Reason.AUTHORITY_NOT_A_ROOT,),
        "root-cert.pem",
        "was signed by CN=root 1",
    ),
}
OF_CERTIFICATES: Mapping[str, Broken] = {
    "a server's certificate": Broken(
        lambda: signed_by(a_root(), ca=False, usage=with_usage(key_cert_sign=False, digital_signature=True)),
        (Reason.AUTHORITY_CANNOT_SIGN, Reason.AUTHORITY_CANNOT_SIGN),
        "ca-cert.pem",
        "says that it is no CA",
        "not authorized to sign",
    ),
    "a signer without constraints": Broken(
        lambda: signed_by(a_root(), ca=None),
        (Reason.AUTHORITY_CANNOT_SIGN,),
        "ca-cert.pem",
        "has no basic constraints",
        "not authorized to sign",
    ),
    "a signer that may not sign certificates": Broken(
        lambda: signed_by(a_root(), usage=with_usage(key_cert_sign=False)),
        (Reason.AUTHORITY_CANNOT_SIGN,),
        "ca-cert.pem",
        "lacks keyCertSign",
        client="unknown authority",
    ),
    "a root that is no CA": Broken(
        lambda: signed_by(make("root 4", ca=False, usage=None)),
        (Reason.AUTHORITY_CANNOT_SIGN,),
        "root-cert.pem",
        "says that it is no CA",
        "unknown authority",
    ),
    "a signer for clients only": Broken(
        lambda: signed_by(
            a_root(), more=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),)
        ),
        (Reason.AUTHORITY_CANNOT_SIGN,),
        "ca-cert.pem",
        "lacks serverAuth",
        "incompatible key usage",
    ),
    "a signer for servers only": Broken(
        lambda: signed_by(
            a_root(), more=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),)
        ),
        (Reason.AUTHORITY_CANNOT_SIGN,),
        "ca-cert.pem",
        "lacks clientAuth",
        client="incompatible key usage",
    ),
    "a path length that istiod does not see": Broken(
        lambda: signed_by(make("root 5", length=0)),
        (Reason.AUTHORITY_PATH_TOO_LONG,),
        "root-cert.pem",
        "its path length is 0, and 1 CAs are below it",
        client="too many intermediates",
    ),
    "a path length that istiod sees": Broken(
        lambda: signed_by(make("middle", make("root 6", length=0))),
        (Reason.AUTHORITY_PATH_TOO_LONG,),
        "root-cert.pem",
        "its path length is 0, and 2 CAs are below it",
        "too many intermediates",
    ),
    "an expired signer": Broken(
        lambda: signed_by(a_root(), days=-1),
        (Reason.AUTHORITY_EXPIRED,),
        "ca-cert.pem",
        "was valid until",
        "expired",
    ),
    "an expired root": Broken(
        lambda: signed_by(make("root 7", days=-1), days=-2),
        (Reason.AUTHORITY_EXPIRED, Reason.AUTHORITY_EXPIRED),
        "ca-cert.pem",
        "was valid until",
        "expired",
    ),
    "a signer that is not yet valid": Broken(
        lambda: signed_by(a_root(), since=-1),
        (Reason.AUTHORITY_EXPIRED,),
        "ca-cert.pem",
        "and not yet",
        "not yet valid",
    ),
    "a signer that ends before a rotation could": Broken(
        lambda: signed_by(a_root(), days=2.5),
        (Reason.AUTHORITY_EXPIRES,),
        "ca-cert.pem",
        "a rotation takes up to 72 hours",
    ),
    "a signer that ends soon": Broken(
        lambda: signed_by(a_root(), since=100, days=29),
        (Reason.AUTHORITY_EXPIRES,),
        "ca-cert.pem",
        "it ends within 30 days",
    ),
    "a signer that outlives its root": Broken(
        lambda: signed_by(make("root 8", days=500), days=600),
        (Reason.AUTHORITY_OUTLIVES_ISSUER,),
        "ca-cert.pem",
        "everything below is refused from then on",
    ),
    "a signer that is signed with SHA-1": Broken(
        signed_with_sha1,
        (Reason.AUTHORITY_WEAK,),
        "ca-cert.pem",
        "is signed with SHA1, which istiod and proxies refuse",
        "insecure algorithm",
    ),
    "a root that signed itself with SHA-1": Broken(
        lambda: signed_by(weaken(an_rsa_root(), an_rsa_root())),
        (Reason.AUTHORITY_WEAK,),
        "root-cert.pem",
        "counts for nothing at a root",
    ),
    "a critical extension that nobody knows": Broken(
        lambda: signed_by(
            a_root(), more=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True),)
        ),
        (Reason.AUTHORITY_EXTENSION_UNKNOWN,),
        "ca-cert.pem",
        "refuse: 1.2.3.4",
        "unhandled critical extension",
    ),
    "names of another trust domain": Broken(
        lambda: signed_by(make("root 10", more=constrain(x509.UniformResourceIdentifier("example.org")))),
        (Reason.AUTHORITY_NAMES_EXCLUDED,),
        "root-cert.pem",
        "exclude identities of trust domain cluster.local",
        client="not permitted by any constraint",
    ),
    "names without the trust domain": Broken(
        lambda: signed_by(
            a_root(), more=constrain(but=(x509.UniformResourceIdentifier("cluster.local"),), critical=False)
        ),
        (Reason.AUTHORITY_NAMES_EXCLUDED,),
        "ca-cert.pem",
        "exclude identities of trust domain cluster.local",
        client="excluded by constraint",
    ),
    "names without istiod's": Broken(
        lambda: signed_by(make("root 11", more=constrain(x509.DNSName("example.org")))),
        (Reason.AUTHORITY_NAMES_EXCLUDED,),
        "root-cert.pem",
        "exclude istiod's own name istiod.istio-system.svc",
        client="not permitted by any constraint",
    ),
}
OF_REVOCATION: Mapping[str, Broken] = {
    "a list in DER": Broken(
        lambda: {**change(), "ca-crl.pem": revoke(a_root(), form=Encoding.DER)},
        (Reason.AUTHORITY_CRL_BROKEN,),
        "ca-crl.pem",
        "is DER, and not PEM",
        "missing CRL",
    ),
    "a list that is cut off": Broken(
        lambda: {**change(), "ca-crl.pem": a_crl().replace(b"\nMI", b"\nMX", 1)},
        (Reason.AUTHORITY_CRL_BROKEN,),
        "ca-crl.pem",
        "has a revocation list that cannot be read",
        "failed to parse CRL",
    ),
    "a list of the root alone": Broken(
        lambda: {**change(), "ca-crl.pem": revoke(a_root())},
        (Reason.AUTHORITY_CRL_BROKEN,),
        "ca-crl.pem",
        "has no list by CN=signer",
        "missing CRL",
    ),
    "a list that is past its time": Broken(
        lambda: {**change(), "ca-crl.pem": a_crl() + revoke(a_root(), days=-1)},
        (Reason.AUTHORITY_CRL_EXPIRED,),
        "ca-crl.pem",
        "istiod takes it, and proxies refuse all",
    ),
    "the signer revoked": Broken(
        lambda: {
            **change(),
            "ca-crl.pem": a_crl() + revoke(a_signer().chain[1], a_signer().certificate.serial_number),
        },
        (Reason.AUTHORITY_CRL_BROKEN,),
        "ca-cert.pem",
        "is revoked by the list of CN=middle",
    ),
    "a list that is not read": Broken(
        lambda: {**write_tls(a_signer()), "ca-crl.pem": a_crl()},
        (Reason.AUTHORITY_FORMS_MIXED, Reason.AUTHORITY_CRL_IGNORED),
        "ca-crl.pem",
        "the Secret has keys of both forms",
    ),
}
BROKEN: Mapping[str, Broken] = {
    **OF_THE_SECRET,
    **OF_KEYS,
    **OF_CHAINS,
    **OF_CERTIFICATES,
    **OF_REVOCATION,
}
