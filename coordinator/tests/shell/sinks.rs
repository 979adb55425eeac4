//! The other ends of notification: the least of an HTTP server and of a mail server.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};

/// A port that refuses connections until somebody listens on it.
pub fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Answers POSTs with these statuses in turn, the last for ever, and passes every accepted body on.
pub fn webhook(listener: TcpListener, statuses: &'static [u16]) -> mpsc::Receiver<Value> {
    let (bodies, received) = mpsc::channel(64);
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let status = statuses[number.min(statuses.len() - 1)];
            let body = answer(stream, status).await;
            if status == 200 && bodies.send(body).await.is_err() {
                return;
            }
        }
    });
    received
}

async fn answer(stream: TcpStream, status: u16) -> Value {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Takes every mail and passes its text on.
pub fn mail(listener: TcpListener) -> mpsc::Receiver<String> {
    let (mails, received) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mails = mails.clone();
            tokio::spawn(async move { converse(BufReader::new(stream), &mails).await });
        }
    });
    received
}

async fn converse(mut stream: BufReader<TcpStream>, mails: &mpsc::Sender<String>) -> std::io::Result<()> {
    stream.write_all(b"220 sink\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let reply = match line.split_whitespace().next().unwrap_or_default() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut text).await?;
                }
                let _ = mails.send(text).await;
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}
