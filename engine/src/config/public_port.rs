//! The knobs of the public port: whose pages may connect, and what it is encrypted with.

use super::knobs::{Fits, Knob, Parsed, Place, Value, row};

/// Its knobs, but for where it listens.
pub(super) fn public_port() -> [Knob; 1] {
    let origins = Place::Own(
        |config| Value::List(config.http_origins.each().collect()),
        |config, value| {
            let Parsed::Origins(origins) = value else { unreachable!("the table asks for what it reads") };
            config.http_origins = origins.clone();
        },
    );
    let of_origins = "origins whose web pages may connect, beside pages of the same host; `*`: every page";
    [row("http.origins", "origins", of_origins, Fits::Origins, origins)]
}
