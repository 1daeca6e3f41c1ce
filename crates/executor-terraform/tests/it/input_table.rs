//! The book's table of what a module gets, by the type of the input and the type of the variable. It is made by the
//! real Terraform; `BB_TEST_UPDATE=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use meshstack_local::Order;
use serde_json::{Value, json};

use crate::world::{World, log};

pub(crate) fn tests() -> Vec<Trial> {
    trials![real: the_table_in_the_book_is_what_terraform_gets]
}

const PAGE: &str = "../../docs/src/terraform-inputs.md";
const BEGIN: &str = "<!-- table: begin, made by a test -->\n";
const END: &str = "<!-- table: end -->\n";

/// What is declared as the variable's type, and how its variables begin.
const DECLARED: [(&str, &str); 6] = [
    ("none, or `any`", ""),
    ("`string`", "string"),
    ("`number`", "number"),
    ("`bool`", "bool"),
    ("`list(string)`", "list(string)"),
    ("`map(string)`", "map(string)"),
];

fn rows() -> Vec<(&'static str, Value)> {
    vec![
        ("STRING", json!("text ${x}")),
        ("STRING", json!("7")),
        ("STRING", json!(null)),
        ("SINGLE_SELECT", json!("gold")),
        ("INTEGER", json!(3)),
        ("BOOLEAN", json!(true)),
        ("MULTI_SELECT", json!(["a", "b<c>"])),
        ("CODE", json!("{\"b\": 1, \"a\": \"${x}\"}")),
        ("CODE", json!("{ b = 1 }")),
        ("CODE", json!("[\"a\", 2]")),
        ("CODE", json!("7")),
        ("CODE", json!("\"quoted\"")),
        ("CODE", json!("just text")),
        ("CODE", json!("2024-05-01")),
        ("CODE", json!("null")),
        ("LIST", json!("[\"a\", \"b\"]")),
    ]
}

fn variable(row: usize, column: usize) -> String {
    format!("v{row}_{column}_")
}

fn module() -> String {
    let mut module = String::new();
    for row in 0..rows().len() {
        for (column, (_, declared)) in DECLARED.iter().enumerate() {
            let name = variable(row, column);
            let kind = if declared.is_empty() { String::new() } else { format!("type = {declared}") };
            // In a list, or null would be left out of the outputs. What is not given shows as what it is not.
            let _ = writeln!(module, "variable \"{name}\" {{\n  {kind}\n  default = null\n}}");
            let _ = writeln!(module, "output \"{name}\" {{\n  value = [var.{name}]\n}}");
        }
    }
    module
}

/// An order with all inputs but those of the named variables.
fn order(world: &World, without: &BTreeSet<String>) -> Order {
    let mut order = world.order(&[("main.tf", &module())]);
    for (row, (kind, value)) in rows().into_iter().enumerate() {
        for column in 0..DECLARED.len() {
            let name = variable(row, column);
            if !without.contains(&name) {
                order = order.input(&name, value.clone(), kind);
            }
        }
    }
    order
}

async fn the_table_in_the_book_is_what_terraform_gets() {
    let world = World::new().await;
    // Terraform names all values that do not fit at once.
    let view = world.carry_out(order(&world, &BTreeSet::new())).await;
    assert_eq!(view.status, "FAILED");
    let said = log(&view, "execute_tf");
    let refused: BTreeSet<String> = said
        .split("not suitable for var.")
        .skip(1)
        .filter_map(|rest| Some(rest.split_whitespace().next()?.to_owned()))
        .collect();
    let view = world.carry_out(order(&world, &refused)).await;
    assert_eq!(view.status, "SUCCEEDED", "{view:#?}");

    let mut table = String::from("| input | value |");
    for (shown, _) in DECLARED {
        let _ = write!(table, " {shown} |");
    }
    let _ = writeln!(table, "\n|{}", " --- |".repeat(DECLARED.len() + 2));
    for (row, (kind, value)) in rows().into_iter().enumerate() {
        let given = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(table, "| `{kind}` | {} |", code(&given));
        for column in 0..DECLARED.len() {
            let name = variable(row, column);
            let cell = if refused.contains(&name) { "refused".to_owned() } else { code(&came(&view, &name)) };
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    compare(&table);
}

/// The value of the variable, as JSON.
fn came(view: &meshstack_local::RunView, name: &str) -> String {
    let list: Value = serde_json::from_str(view.outputs[name].value.as_str().expect("text")).expect("JSON");
    list[0].to_string()
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn compare(table: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = fs::read_to_string(&page).expect("the page is there");
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (there, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("BB_TEST_UPDATE").is_some() {
        fs::write(page, format!("{before}{BEGIN}\n{table}\n{END}{after}")).expect("the page can be written");
        return;
    }
    assert_eq!(there.trim(), table.trim(), "the table is now:\n{table}");
}
