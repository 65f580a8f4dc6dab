use std::net::SocketAddr;
/// A fault.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Fault {
    /// none
    None,
}
pub fn run(_f: Fault, _l: SocketAddr, _b: SocketAddr) -> anyhow::Result<()> {
    Ok(())
}
