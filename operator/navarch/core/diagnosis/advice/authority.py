"""Advice on certificate authorities: what `navarch ca verify` finds.

Owns severity, remedy and example of these reasons; a finding has a remedy of its own, and in a case that does
less harm a lower severity. Must never hold a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.form import Advice
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

OF_AUTHORITIES: Mapping[Reason, Advice] = {
    Reason.AUTHORITY_INCOMPLETE: Advice(
        Severity.ERROR,
        "Add the key that the message names.",
        "root-cert.pem: is missing; with a part of the keys istiod does not start",
    ),
    Reason.AUTHORITY_FORMS_MIXED: Advice(
        Severity.ERROR,
        "Keep the keys of one form only.",
        "ca-cert.pem: the Secret has keys of both forms; since it has tls.crt, istiod ignores ca-cert.pem",
    ),
    Reason.AUTHORITY_TOO_LARGE: Advice(
        Severity.ERROR,
        "Leave out every certificate that is not needed.",
        "data: '1,300,000 bytes': the API server takes 1,048,576 bytes in a Secret",
    ),
    Reason.AUTHORITY_UNREADABLE: Advice(
        Severity.ERROR,
        "Write the key as PEM, with blocks of its own kind only.",
        "ca-cert.pem: is DER, and not PEM",
    ),
    Reason.AUTHORITY_STRAY_TEXT: Advice(
        Severity.WARNING,
        "Remove everything that is not between BEGIN and END.",
        "root-cert.pem: has text beside its PEM blocks in line 1",
    ),
    Reason.AUTHORITY_KEYS_UNREAD: Advice(
        Severity.INFO,
        "Nothing, unless a name is misspelt.",
        "root.pem: istiod reads no root.pem",
    ),
    Reason.AUTHORITY_KEY_EXPOSED: Advice(
        Severity.ERROR,
        "Keep the key in ca-key.pem, or tls.key, only. Where a mesh had it, replace its authority.",
        "cert-chain.pem: has a private key in line 1, and istiod hands this out to every proxy",
    ),
    Reason.AUTHORITY_KEY_UNREADABLE: Advice(
        Severity.ERROR,
        "Write the key as PKCS #8, without a passphrase: openssl pkey -in KEY -out ca-key.pem.",
        "ca-key.pem: has a private key that is encrypted (ENCRYPTED PRIVATE KEY in line 1)",
    ),
    Reason.AUTHORITY_KEY_MISMATCH: Advice(
        Severity.ERROR,
        "Put key and certificate of one and the same CA in.",
        "ca-key.pem: 'ECDSA P-256': is not the key of CN=signer (serial 3f), with which istiod is to sign",
    ),
    Reason.AUTHORITY_CHAIN_BROKEN: Advice(
        Severity.ERROR,
        "Complete the chain from the certificate that signs to the root.",
        "ca-cert.pem: 'CN=signer (serial 3f)': was signed by CN=middle, which is not in "
        "cert-chain.pem or root-cert.pem",
    ),
    Reason.AUTHORITY_CHAIN_ORDER: Advice(
        Severity.ERROR,
        "Write the chain in the order that the message names.",
        "cert-chain.pem: 'CN=root (serial 1)': stands before what it signed",
    ),
    Reason.AUTHORITY_DUPLICATE: Advice(
        Severity.WARNING,
        "Keep the certificate once, or leave it out.",
        "root-cert.pem: 'CN=root (serial 1)': is in it 2 times",
    ),
    Reason.AUTHORITY_CANNOT_SIGN: Advice(
        Severity.ERROR,
        "Issue the certificate with basicConstraints CA:TRUE and keyUsage keyCertSign and cRLSign.",
        "ca-cert.pem: 'CN=signer (serial 3f)': says that it is no CA: istiod does not start with it",
    ),
    Reason.AUTHORITY_PATH_TOO_LONG: Advice(
        Severity.ERROR,
        "Issue the certificate with a longer path length, or without one.",
        "root-cert.pem: 'CN=root (serial 1)': its path length is 0, and 1 CAs are below it",
    ),
    Reason.AUTHORITY_EXPIRED: Advice(
        Severity.ERROR,
        "Issue the certificate again, or correct the clock of who issued it.",
        "ca-cert.pem: 'CN=signer (serial 3f)': was valid until 2026-10-01 00:00 UTC",
    ),
    Reason.AUTHORITY_EXPIRES: Advice(
        Severity.WARNING,
        "Issue the certificate again before it ends; one that ends within three lifetimes of a proxy's "
        "certificate is refused.",
        "ca-cert.pem: 'CN=signer (serial 3f)': is valid until 2026-10-01 00:00 UTC: it ends within 30 days",
    ),
    Reason.AUTHORITY_OUTLIVES_ISSUER: Advice(
        Severity.WARNING,
        "Have the certificate above renewed first, or issue this one for less.",
        "ca-cert.pem: 'CN=signer (serial 3f)': is valid until 2027-10-01 00:00 UTC, and CN=root, which "
        "signed it, only until 2026-12-01 00:00 UTC",
    ),
    Reason.AUTHORITY_WEAK: Advice(
        Severity.ERROR,
        "Use RSA 2048 or more, or ECDSA P-256, and SHA-256.",
        "ca-cert.pem: 'CN=signer (serial 3f)': its key is RSA 1024: too short to be safe",
    ),
    Reason.AUTHORITY_ALGORITHM: Advice(
        Severity.ERROR,
        "Use ECDSA P-256 or P-384, or RSA.",
        "ca-cert.pem: 'CN=signer (serial 3f)': its key is DSA: istiod cannot use it",
    ),
    Reason.AUTHORITY_EXTENSION_UNKNOWN: Advice(
        Severity.ERROR,
        "Issue the certificate without these extensions, or without marking them as critical.",
        "ca-cert.pem: 'CN=signer (serial 3f)': has critical extensions that istiod and proxies do not know, "
        "and refuse: 1.2.3.4",
    ),
    Reason.AUTHORITY_NAMES_EXCLUDED: Advice(
        Severity.ERROR,
        "Permit the trust domain as a URI and svc as a DNS name, or leave such constraints out.",
        "root-cert.pem: 'CN=root (serial 1)': its name constraints exclude identities of trust domain "
        "cluster.local",
    ),
    Reason.AUTHORITY_SEVERAL_ROOTS: Advice(
        Severity.WARNING,
        "Leave out the roots that the mesh need not trust, unless a rotation is under way.",
        "root-cert.pem: 'CN=root (serial 1)': is one of 2 roots, each of which can sign any identity",
    ),
    Reason.AUTHORITY_NOT_A_ROOT: Advice(
        Severity.WARNING,
        "Put the root in its place, and the certificate into the chain.",
        "root-cert.pem: 'CN=middle (serial 2)': is trusted as a root, and was signed by CN=root",
    ),
    Reason.AUTHORITY_ROOT_LOOKALIKE: Advice(
        Severity.ERROR,
        "Give each root a subject of its own.",
        "root-cert.pem: 'O=cluster.local (serial 1)': has the subject of a root that the mesh trusts today",
    ),
    Reason.AUTHORITY_CRL_BROKEN: Advice(
        Severity.ERROR,
        "Give ca-crl.pem a list by each certificate of the chain, or leave it out.",
        "ca-crl.pem: has no list by CN=root (serial 1)",
    ),
    Reason.AUTHORITY_CRL_EXPIRED: Advice(
        Severity.ERROR,
        "Issue the list again.",
        "ca-crl.pem: 'CN=root': was to be renewed until 2026-10-01 00:00 UTC",
    ),
    Reason.AUTHORITY_CRL_IGNORED: Advice(
        Severity.WARNING,
        "Use istiod's own names of keys to have it read.",
        "ca-crl.pem: is not read where the Secret has tls.crt: nothing is revoked",
    ),
}
