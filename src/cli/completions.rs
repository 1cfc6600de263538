//! `plaudit completions` and `plaudit man`: made from the same description as `--help`.

use std::io::{self, Write as _};

use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Failure, print_out};

/// The arguments of `plaudit completions`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Completions {
    /// The shell that is to complete plaudit's commands and flags
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions of `program` for a shell.
pub fn run(completions: Completions, mut program: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut program, "plaudit", &mut script);
    print_out(String::from_utf8(script)?.trim_end())
}

/// Prints the manual page of `program`: its own part first, then one for each command.
pub fn man(mut program: clap::Command) -> Result<(), Failure> {
    program.build();
    let mut page = Vec::new();
    let own = Man::new(program.clone());
    own.render_title(&mut page)?;
    own.render_name_section(&mut page)?;
    sections(&own, true, &mut page)?;
    let own_flags: Vec<_> = program.get_arguments().map(|flag| flag.get_id().clone()).collect();
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let has_own = command.get_arguments().any(|flag| !own_flags.contains(flag.get_id()));
        let mut part = Vec::new();
        sections(&Man::new(command.clone()), has_own, &mut part)?;
        // Below a heading of the command's name its sections are one level lower.
        let part = String::from_utf8(part)?.replace(".SH ", ".SS ");
        writeln!(page, ".SH \"plaudit {}\"\n{part}", command.get_name())?;
        if !has_own {
            writeln!(page, ".SS OPTIONS\nThose of plaudit itself, above.")?;
        }
    }
    writeln!(page, ".SH \"EXIT STATUS\"\n0: done. 1: failed. 2: wrong usage or configuration.")?;
    print_out(String::from_utf8(page)?.trim_end())
}

fn sections(man: &Man, with_options: bool, page: &mut Vec<u8>) -> io::Result<()> {
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    if with_options {
        man.render_options_section(page)?;
    }
    Ok(())
}
