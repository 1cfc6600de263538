//! The program: parses the arguments and runs the command.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use plaudit::cli::{self, Failure};
use plaudit::settings::{Environment, Flags};
use plaudit::telemetry;

/// One honest ledger of who contributed, and a thank-you at the right moment.
///
/// Without a command, it serves. Secrets come from the environment or files, never from flags:
/// PLAUDIT_GITHUB_SECRET, PLAUDIT_GITLAB_SIGNING_TOKEN, PLAUDIT_GITLAB_SECRET, PLAUDIT_API_TOKENS,
/// PLAUDIT_POST_TOKENS, PLAUDIT_READ_TOKENS, PLAUDIT_FORGET_KEY, PLAUDIT_GITHUB_TOKEN, PLAUDIT_GITHUB_APP_KEY,
/// PLAUDIT_GITLAB_TOKEN and, for the commands that are clients, PLAUDIT_TOKEN, each also as …_FILE.
#[derive(Parser)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
#[command(version = env!("VERSION_AND_COMMIT"), args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
enum Command {
    /// Runs the service; prints its URL once it accepts connections.
    Serve(Flags),
    /// Shows on this machine how plaudit works: needs no configuration and leaves no files.
    Demo(cli::demo::Demo),
    /// Sets up the webhook at GitHub or GitLab: creates it or corrects it, with a secret in a file, and waits for its ping.
    #[command(subcommand)]
    Init(cli::init::Init),
    /// Signs payload files as a host would, with the first of its secrets (PLAUDIT_GITHUB_SECRET,
    /// PLAUDIT_GITLAB_SIGNING_TOKEN or PLAUDIT_GITLAB_SECRET), posts them, and prints the answers.
    Send(cli::send::Send),
    /// Prints recognitions, one JSON line each, from a running instance or a Pub/Sub subscription.
    Watch(cli::watch::Watch),
    /// Posts contributions from a file of JSON lines into a running instance, as history unless --recognize.
    Import(cli::import::Import),
    /// Reads the history of repositories through their host's API into the configured ledger, as history unless
    /// --recognize.
    #[command(subcommand)]
    Backfill(cli::backfill::Backfill),
    /// Asks the hosts for the deliveries that failed, of the webhooks in PLAUDIT_RECONCILE or of those named here.
    Reconcile(cli::reconcile::Reconcile),
    /// Checks the configuration and each back end, and prints what is right, off or wrong.
    Check(Flags),
    /// Shows the contributors of a running instance with the highest tallies: a table on a terminal, JSON lines
    /// elsewhere.
    Top(cli::top::Top),
    /// Shows why a contributor has their tally, contribution by contribution, or one contribution.
    Show(cli::show::Show),
    /// Takes a contribution of a running instance back: the tally goes down, and it never counts again.
    Retract(cli::retract::Retract),
    /// Prints everything that a running instance holds about a contributor, as JSON.
    Export(cli::export::Export),
    /// Makes an account count for another contributor: two accounts of one person. A .mailmap says whose addresses are.
    Link(cli::link::Link),
    /// Makes a linked account count for itself again.
    Unlink(cli::unlink::Unlink),
    /// Erases a contributor from a running instance for good, with everything that is held about them.
    Forget(cli::forget::Forget),
    /// Prints the completions for a shell; how to install them is in docs/install.md.
    Completions(cli::completions::Completions),
    /// Prints the manual page: plaudit man > plaudit.1, then man ./plaudit.1.
    Man,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => match cli::secret_as_flag(&error) {
            Some(failure) => return end(failure.report()),
            None => error.exit(),
        },
    };
    let environment = Environment::of_process();
    let run = async {
        match arguments.command {
            None => Box::pin(cli::serve::run(&arguments.flags, &environment)).await,
            Some(Command::Serve(flags)) => Box::pin(cli::serve::run(&flags, &environment)).await,
            Some(Command::Demo(demo)) => cli::demo::run(demo).await,
            Some(Command::Init(init)) => cli::init::run(init, &environment).await,
            Some(Command::Send(send)) => cli::send::run(send, &environment).await,
            Some(Command::Watch(watch)) => cli::watch::command(watch, &environment).await,
            Some(Command::Import(import)) => cli::import::run(import, &environment).await,
            Some(Command::Backfill(backfill)) => cli::backfill::run(backfill, &environment).await,
            Some(Command::Reconcile(reconcile)) => cli::reconcile::run(reconcile, &environment).await,
            Some(Command::Check(flags)) => cli::check::run(&flags, &environment).await,
            Some(Command::Top(top)) => cli::top::run(top, &environment).await,
            Some(Command::Show(show)) => cli::show::run(show, &environment).await,
            Some(Command::Retract(retract)) => cli::retract::run(retract, &environment).await,
            Some(Command::Export(export)) => cli::export::run(export, &environment).await,
            Some(Command::Link(link)) => cli::link::run(link, &environment).await,
            Some(Command::Unlink(unlink)) => cli::unlink::run(unlink, &environment).await,
            Some(Command::Forget(forget)) => cli::forget::run(forget, &environment).await,
            Some(Command::Completions(shell)) => cli::completions::run(shell, Arguments::command()),
            Some(Command::Man) => cli::completions::man(Arguments::command()),
        }
    };
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(run);
            // A blocked read of standard input or a slow name look-up must not delay the exit.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::failed(error)),
    };
    end(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    })
}

fn end(code: ExitCode) -> ExitCode {
    telemetry::flush();
    code
}
