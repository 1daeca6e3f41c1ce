//! The page as a test reads it: commands in order, and what it shows of their output.

use std::fs;

use crate::repository;

/// Commands to paste at once.
pub(super) struct Block {
    section: String,
    pub(super) commands: String,
    /// Lines of the blocks of text that follow.
    pub(super) shown: Vec<String>,
}

pub(super) struct Page {
    text: String,
    blocks: Vec<Block>,
}

impl Page {
    pub(super) fn read() -> Self {
        let text = fs::read_to_string(repository("docs/src/getting-started.md")).unwrap();
        let blocks = parse(&text);
        Self { text, blocks }
    }

    /// What the page has Debian install.
    pub(super) fn packages(&self) -> Vec<String> {
        let (_, line) = self.text.split_once("`apt install ").expect("the page names Debian's packages");
        let (packages, _) = line.split_once('`').expect("the list ends");
        packages.split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// The blocks before this section.
    pub(super) fn before(&self, section: &str) -> &[Block] {
        let end = self.blocks.iter().position(|block| block.section == section);
        &self.blocks[..end.unwrap_or_else(|| panic!("the page has no commands in a section {section:?}"))]
    }

    /// The blocks of this section and of those after it.
    pub(super) fn section(&self, section: &str) -> &[Block] {
        &self.blocks[self.before(section).len()..]
    }
}

/// Blocks are `bash` or `text`. Any other is a mistake of the page: its commands would be tried by nobody.
fn parse(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "bash" => {
                let commands = inside.join("\n") + "\n";
                blocks.push(Block { section: section.clone(), commands, shown: Vec::new() });
            }
            "text" => {
                let block = blocks.last_mut().expect("text that a block of commands prints comes after it");
                block.shown.extend(inside.into_iter().map(str::to_owned));
            }
            other => panic!("a block of {other:?}: this page has bash and text"),
        }
    }
    assert!(!blocks.is_empty(), "the page has no commands");
    blocks
}
