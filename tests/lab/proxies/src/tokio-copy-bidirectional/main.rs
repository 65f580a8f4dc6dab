//! A TCP proxy of tokio's copy_bidirectional, which passes the end of each direction on.

use std::env;
use std::io::Result;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<()> {
    let addresses: Vec<_> = env::args().skip(1).collect();
    let [listen, backend] = &addresses[..] else { panic!("usage: LISTEN BACKEND") };
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        let backend = backend.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(client, backend).await {
                eprintln!("{error}");
            }
        });
    }
}

async fn serve(mut client: TcpStream, backend: String) -> Result<()> {
    let mut server = TcpStream::connect(backend).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
