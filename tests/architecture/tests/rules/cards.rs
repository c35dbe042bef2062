//! The cards: `modules/*/README.md` says what the module declares, no more and no less.

use std::{collections::BTreeMap, fs};

use architecture::{Workspace, is_meant};
use modulith_kernel::{DeclaredMessage, Manifest};

use crate::pass;

/// Every module of the application.
fn manifests() -> Vec<Manifest> {
    vec![
        Manifest::of::<ad::Ad>(),
        Manifest::of::<cart::Cart>(),
        Manifest::of::<catalog::Catalog>(),
        Manifest::of::<checkout::Checkout>(),
        Manifest::of::<currency::Currency>(),
        Manifest::of::<email::Email>(),
        Manifest::of::<payment::Payment>(),
        Manifest::of::<recommendation::Recommendation>(),
        Manifest::of::<shipping::Shipping>(),
        Manifest::of::<storefront::Storefront>(),
    ]
}

#[test]
fn every_module_is_checked() {
    let workspace = Workspace::load();
    let folders = workspace
        .crates
        .iter()
        .filter(|one| is_meant(&one.folder, "modules/*"));
    let folders: Vec<_> = folders.map(|one| one.folder.as_str()).collect();
    let checked = manifests()
        .into_iter()
        .map(|m| format!("modules/{}", m.module));
    assert_eq!(folders, checked.collect::<Vec<_>>());
}

#[test]
fn cards_say_what_modules_declare() {
    let workspace = Workspace::load();
    let mut complaints = Vec::new();
    for manifest in manifests() {
        let path = format!("modules/{}/README.md", manifest.module);
        let text = fs::read_to_string(workspace.root.join(&path)).unwrap_or_default();
        let found = check(&text, &manifest);
        complaints.extend(
            found
                .into_iter()
                .map(|complaint| format!("{path}: {complaint}")),
        );
    }
    pass(&complaints);
}

/// The sections of a card, in the order a reader meets them.
const SECTIONS: [&str; 8] = [
    "Answers",
    "Handles",
    "Asks",
    "Publishes",
    "Listens",
    "Stores",
    "Settings",
    "Promises",
];

fn check(card: &str, manifest: &Manifest) -> Vec<String> {
    let card = match Card::read(card) {
        Ok(card) => card,
        Err(complaint) => return vec![complaint],
    };
    if card.order != SECTIONS {
        return vec![format!(
            "the sections are {}; expected {}",
            card.order.join(", "),
            SECTIONS.join(", ")
        )];
    }
    let own = |messages: &[DeclaredMessage]| {
        messages
            .iter()
            .map(|m| m.message.name.to_string())
            .collect::<Vec<_>>()
    };
    let others = |messages: &[DeclaredMessage]| {
        messages
            .iter()
            .map(|m| m.message.to_string())
            .collect::<Vec<_>>()
    };
    let declared: [(&str, Vec<String>); 5] = [
        ("Answers", own(&manifest.answers)),
        ("Handles", own(&manifest.handles)),
        ("Asks", others(&manifest.asks)),
        ("Publishes", own(&manifest.publishes)),
        ("Listens", others(&manifest.listens)),
    ];
    let mut complaints = Vec::new();
    for (section, declared) in declared {
        let listed = &card.bullets[section];
        let module = manifest.module;
        for name in declared.iter().filter(|name| !listed.contains(name)) {
            complaints.push(format!(
                "{module} declares {name}; {section} does not list it"
            ));
        }
        for name in listed.iter().filter(|name| !declared.contains(name)) {
            complaints.push(format!(
                "{section} lists {name}; {module} does not declare it"
            ));
        }
    }
    if !manifest.is_stateful() && !card.bullets["Stores"].is_empty() {
        complaints.push("Stores lists a table; the module has no store".to_string());
    }
    complaints
}

/// What a card lists under each heading.
struct Card {
    order: Vec<String>,
    bullets: BTreeMap<String, Vec<String>>,
}

impl Card {
    /// Reads "- `Name` text" under `## Section`. Promises are sentences and need no name.
    fn read(text: &str) -> Result<Self, String> {
        let mut card = Self {
            order: Vec::new(),
            bullets: BTreeMap::new(),
        };
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                let section = heading.split(' ').next().unwrap_or(heading).to_string();
                card.bullets.insert(section.clone(), Vec::new());
                card.order.push(section);
                continue;
            }
            let (Some(section), Some(bullet)) = (card.order.last(), line.strip_prefix("- ")) else {
                continue;
            };
            if bullet == "none" || section == "Promises" {
                continue;
            }
            let quoted = bullet
                .strip_prefix('`')
                .and_then(|rest| rest.split_once('`'));
            let Some((name, text)) = quoted else {
                return Err(format!(
                    "under {section}: expected \"- `Name` text\", found {line:?}"
                ));
            };
            if text.trim().is_empty() {
                return Err(format!(
                    "under {section}: `{name}` is listed without a word about it"
                ));
            }
            card.bullets
                .entry(section.clone())
                .or_default()
                .push(name.to_string());
        }
        Ok(card)
    }
}

#[test]
fn a_card_that_says_otherwise_is_told_what() {
    let mut card = String::from("# currency\n");
    for section in SECTIONS {
        let bullet = if section == "Answers" {
            "`GetRates` the rates."
        } else {
            "none"
        };
        card.push_str(&format!("\n## {section}\n- {bullet}\n"));
    }
    let mut manifest = Manifest::of::<currency::Currency>();
    manifest.answers.truncate(1);
    manifest.answers[0].message.name = "Convert";
    assert_eq!(
        check(&card, &manifest),
        [
            "currency declares Convert; Answers does not list it",
            "Answers lists GetRates; currency does not declare it",
        ]
    );
    let wordless = card.replace(" the rates.", "");
    assert_eq!(
        check(&wordless, &manifest),
        ["under Answers: `GetRates` is listed without a word about it"]
    );
    let shorter = card.replace("## Stores\n- none\n", "");
    assert!(check(&shorter, &manifest)[0].starts_with("the sections are Answers, Handles"));
}
