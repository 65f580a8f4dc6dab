//! An HTTP reverse proxy of hyper's server and the client of hyper-util, which keeps connections for later requests.

use std::env;
use std::error::Error;

use hyper::Request;
use hyper::Uri;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addresses: Vec<_> = env::args().skip(1).collect();
    let [listen, backend] = &addresses[..] else { panic!("usage: LISTEN BACKEND") };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        let (client, backend) = (client.clone(), backend.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = format!("http://{backend}{path}").parse::<Uri>().expect("a URI");
            client.request(request)
        });
        tokio::spawn(async move {
            let serving = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
            if let Err(error) = serving.await {
                eprintln!("{error}");
            }
        });
    }
}
