//! The knobs of the public port: whose pages may connect, and what it is encrypted with.

use super::knobs::{Fits, Knob, Parsed, Place, Value, row};

/// Its knobs, but for where it listens.
pub(super) fn public_port() -> [Knob; 3] {
    let origins = Place::Own(
        |config| Value::List(config.http_origins.each().collect()),
        |config, value| {
            let Parsed::Origins(origins) = value else { unreachable!("the table asks for what it reads") };
            config.http_origins = origins.clone();
        },
    );
    let certificate = Place::Own(
        |config| Value::Text(config.tls_certificate.display().to_string()),
        |config, value| config.tls_certificate = value.text().into(),
    );
    let key = Place::Own(
        |config| Value::Text(config.tls_key.display().to_string()),
        |config, value| config.tls_key = value.text().into(),
    );
    let of_certificate =
        "the server's certificate and those it was signed with, in PEM; with it only TLS 1.3 is spoken";
    let of_origins = "origins whose web pages may connect, beside pages of the same host; `*`: every page";
    [
        row("http.origins", "origins", of_origins, Fits::Origins, origins),
        row("tls.certificate", "path", of_certificate, Fits::Text("a file or nothing"), certificate),
        row("tls.key", "path", "the certificate's private key, in PEM", Fits::Text("a file or nothing"), key),
    ]
}
