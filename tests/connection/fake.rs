//! Peers that are no sound server: silent, of another protocol, or with one answer for everybody.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// A peer that answers every connection with the same bytes, once it has been spoken to.
pub fn answering(answer: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| {
        let mut question = [0; 256];
        if stream.read(&mut question).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(answer);
            // Not closed at once: the driver must not need the end to see what it has.
            std::thread::sleep(Duration::from_secs(3));
        }
    })
}

/// A peer that takes every connection and never says a word.
pub fn silent() -> SocketAddr {
    serve(|stream| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    })
}

/// A peer that notes what the first connection says first, and hangs up.
pub fn listening() -> (SocketAddr, Receiver<Vec<u8>>) {
    let (sender, receiver) = sync_channel(1);
    let address = serve(move |mut stream| {
        let mut said = vec![0; 4096];
        if let Ok(read) = stream.read(&mut said) {
            said.truncate(read);
            let _ = sender.try_send(said);
        }
    });
    (address, receiver)
}

/// A peer that hangs up.
pub fn closing() -> SocketAddr {
    serve(drop)
}

/// Serves until the test's process ends.
fn serve(each: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    address
}

/// What a server says that is still starting: an ErrorResponse with severity, SQLSTATE, message.
pub const STARTING: &[u8] =
    b"E\0\0\0\x3bSFATAL\0VFATAL\0C57P03\0Mthe database system is starting\0\0";
