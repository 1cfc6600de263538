//! Recognitions from a Pub/Sub subscription, by streaming pull.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::client::Subscriber;
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownBehavior};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{BACKOFF, Consumer, Fate};
use crate::publish::pubsub::{check_credentials, credentials, emulator_endpoint};

/// How many messages are received ahead. What is not handled at the end is returned, which counts as a
/// delivery attempt, so this is no more than is soon needed.
const AHEAD: u64 = 100;
/// The same, if a command runs for each.
const AHEAD_OF_COMMANDS: u64 = 20;
/// How long to wait after closing the stream before the rest is returned: until the server has noticed the
/// close, it would send returned messages into the closing stream, where they stay until their lease ends.
const CLOSE_DELAY: Duration = Duration::from_millis(200);
/// How long the last acknowledgements may take.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// After this time the server delivers a message again that a dead consumer held. The crate extends the
/// lease of a running one, for an hour at most.
const LEASE: Duration = Duration::from_secs(10);
/// How long getting an access token may take.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// Messages to return, each after its wait. Dropping a handler returns its message.
type Held = FuturesUnordered<BoxFuture<'static, Handler>>;
type Received = google_cloud_pubsub::Result<(Message, Handler)>;

pub(super) async fn consume(name: &str, emulator: Option<&str>, consumer: Consumer) -> anyhow::Result<()> {
    let credentials = credentials(emulator)?;
    check_credentials(&credentials, Instant::now() + CREDENTIALS).await?;
    let mut builder = Subscriber::builder().with_credentials(credentials);
    if let Some(host) = emulator {
        builder = builder.with_endpoint(emulator_endpoint(host));
    }
    let most = if consumer.exec.is_some() { AHEAD_OF_COMMANDS } else { AHEAD };
    let ahead = i64::try_from(consumer.left.unwrap_or(most).min(most))?;
    let messages = builder
        .build()
        .await
        .context("the Pub/Sub client cannot be built")?
        .subscribe(name)
        .set_max_outstanding_messages(ahead)
        .set_max_lease_extension(LEASE)
        .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
        .build();
    tracing::info!(subscription = name, "waiting for recognitions on {name}");

    let shutdown = messages.shutdown_token();
    let (to, mut received) = mpsc::channel(1);
    let mut held = Held::new();
    // Concurrently, not alternately: a pull that is dropped while it opens could lose messages.
    let ended = tokio::select! {
        ended = work(consumer, &mut received, &mut held) => ended,
        error = pull(messages, to) => Err(explain(name, error)),
    };
    tokio::time::sleep(CLOSE_DELAY).await;
    drop((held, received));
    if timeout(LAST_ACKS, shutdown.shutdown()).await.is_err() {
        tracing::warn!(
            "the last acknowledgements were not confirmed in time; their messages will be delivered again"
        );
    }
    ended
}

/// Pulls until the server refuses. The crate reconnects after a broken connection or a restart.
async fn pull(
    mut messages: MessageStream,
    to: mpsc::Sender<(Message, Handler)>,
) -> Option<google_cloud_pubsub::Error> {
    loop {
        let received: Option<Received> = messages.next().await;
        let message = match received.transpose() {
            Ok(message) => message?,
            Err(error) => return Some(error),
        };
        to.send(message).await.ok()?;
    }
}

/// Handles messages until the count is reached, the output is closed or the consumer stops.
async fn work(
    mut consumer: Consumer,
    received: &mut mpsc::Receiver<(Message, Handler)>,
    held: &mut Held,
) -> anyhow::Result<()> {
    let stop = consumer.stop.clone();
    let mut failures = 0;
    while !consumer.full() {
        let (message, handler) = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            Some(handler) = held.next() => {
                Handler::nack(handler);
                continue;
            }
            Some(next) = received.recv() => next,
            else => bail!("the subscription ended"),
        };
        let why = match consumer.take(&message.data).await? {
            Fate::Done | Fate::Repeat => {
                failures = 0;
                handler.ack();
                continue;
            }
            Fate::Over => {
                held.push(std::future::ready(handler).boxed());
                return Ok(());
            }
            Fate::Foreign(why) => format!("it is not a recognition: {why}"),
            Fate::Failed(why) => why,
        };
        tracing::warn!(
            message = message.message_id,
            attempt = handler.delivery_attempt(),
            "message {} is returned: {why}",
            message.message_id
        );
        // Returned immediately, it would be delivered again immediately, without end.
        let wait = BACKOFF.after(failures);
        failures += 1;
        let later = async move {
            tokio::time::sleep(wait).await;
            handler
        };
        held.push(later.boxed());
    }
    Ok(())
}

/// Why a subscription cannot be consumed, with the command that fixes it.
fn explain(name: &str, error: Option<google_cloud_pubsub::Error>) -> anyhow::Error {
    let Some(error) = error else {
        return anyhow!("{name}: the stream of messages ended");
    };
    let mut parts = name.split('/').skip(1).step_by(2);
    let (project, subscription) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let fix = match error.status().map(|status| status.code) {
        Some(Code::NotFound) => format!(
            "it does not exist; create it: gcloud pubsub subscriptions create {subscription} --project={project} --topic=TOPIC"
        ),
        Some(Code::PermissionDenied) => format!(
            "these credentials may not consume it; grant it: gcloud pubsub subscriptions add-iam-policy-binding {subscription} \
             --project={project} --member=serviceAccount:EMAIL --role=roles/pubsub.subscriber"
        ),
        _ => "it cannot be consumed".to_owned(),
    };
    anyhow::Error::new(error).context(format!("{name}: {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_gax::error::rpc::Status;

    #[test]
    fn a_refusal_says_what_fixes_it() {
        let told = |code| {
            let error = google_cloud_pubsub::Error::service(Status::default().set_code(code));
            explain("projects/p/subscriptions/bot", Some(error)).to_string()
        };
        assert!(told(Code::NotFound).contains("gcloud pubsub subscriptions create bot --project=p"));
        assert!(told(Code::PermissionDenied).contains("binding bot --project=p"));
    }
}
