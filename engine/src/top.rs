//! `top`: what the running server does, shard by shard, from the counters of its admin socket.

mod rates;
mod screen;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use trunkline_cli::Failure;
use trunkline_edge::admin::{AdminClient, Refusal};

use rates::{Rates, Reading};

/// Between two readings.
const EVERY: Duration = Duration::from_secs(1);

/// Shows rates until somebody quits; with `once`, or where stdout is no terminal, prints those of one second.
///
/// # Errors
/// No server runs with the folder, or it does not answer.
pub fn run(data: &Path, once: bool) -> Result<(), Failure> {
    let mut client = connect(data)?;
    let first = read(&mut client)?;
    if !once && std::io::stdout().is_terminal() {
        return screen::show(data, client, first);
    }
    thread::sleep(EVERY);
    let frame = view::plain(&Rates::between(&first, &read(&mut client)?));
    // Whoever reads this may have seen enough.
    let _ = std::io::stdout().lock().write_all(frame.as_bytes());
    Ok(())
}

fn connect(data: &Path) -> Result<AdminClient, Failure> {
    let socket = AdminClient::connect(data).map_err(|error| Failure::new("admin_socket", error.to_string()))?;
    socket.ok_or_else(|| {
        let text = format!("no server runs with {}; is that its --data?", data.display());
        Failure::new("not_running", text)
    })
}

fn read(client: &mut AdminClient) -> Result<Reading, Failure> {
    let told = client.told().map_err(|Refusal { error, message }| Failure::new(error, message))?;
    Ok(Reading::now(told))
}
