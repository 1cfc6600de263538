//! A TCP proxy in front of an emulator, for outages.

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Has both sides of a proxy send each part of an answer at once; else each would wait until the one before is
/// acknowledged.
pub(super) fn without_delay(sides: [&TcpStream; 2]) {
    for side in sides {
        side.set_nodelay(true).unwrap();
    }
}

/// The proxy. It can refuse connections, accept them again, and hold open connections that carry nothing more.
pub struct Gate {
    /// Its address, which stays the same when it is opened again.
    pub host: String,
    to: String,
    /// Cancelled to cut all connections and to accept none.
    shut: CancellationToken,
    /// Cancelled to stop all traffic on the connections that are open, without closing them.
    pub freeze: CancellationToken,
    tasks: plaudit::runtime::Tasks,
}

impl Gate {
    pub async fn open(to: &str) -> Self {
        let mut gate = Self {
            host: "127.0.0.1:0".into(),
            to: to.to_owned(),
            shut: CancellationToken::new(),
            freeze: CancellationToken::new(),
            tasks: plaudit::runtime::Tasks::default(),
        };
        gate.reopen().await;
        gate
    }

    pub async fn reopen(&mut self) {
        let listener = TcpListener::bind(&self.host).await.unwrap();
        self.host = listener.local_addr().unwrap().to_string();
        self.shut = CancellationToken::new();
        let (to, shut) = (self.to.clone(), self.shut.clone());
        self.freeze = CancellationToken::new();
        let freeze = std::sync::Mutex::new(self.freeze.clone());
        let tasks = plaudit::runtime::Tasks::default();
        let accept = async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&to).await.unwrap();
                without_delay([&near, &far]);
                let mut current = freeze.lock().unwrap();
                if current.is_cancelled() {
                    // A connection that is made after the freeze carries data again.
                    *current = CancellationToken::new();
                }
                let (shut, freeze) = (shut.clone(), current.clone());
                drop(current);
                tasks.spawn(async move {
                    tokio::select! {
                        () = shut.cancelled() => return,
                        () = freeze.cancelled() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    }
                    shut.cancelled().await;
                });
            }
        };
        let shut = self.shut.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = shut.cancelled() => {}
                () = accept => {}
            }
        });
    }

    /// Leads to another address from now on.
    pub async fn lead_to(&mut self, to: &str) {
        self.close().await;
        to.clone_into(&mut self.to);
        self.reopen().await;
    }

    pub async fn close(&mut self) {
        self.shut.cancel();
        std::mem::take(&mut self.tasks).end().await;
    }
}
