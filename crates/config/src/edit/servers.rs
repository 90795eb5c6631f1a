//! Edits of `[servers]` and of the switches.

use strongroom_model::principal::Name;
use toml_edit::{Array, Item, Table, Value};

use super::Editor;

impl Editor {
    /// Puts the table of a server.
    pub fn put_server(&mut self, name: &Name, table: Table) {
        let servers = self.document.entry("servers").or_insert_with(|| {
            let mut servers = Table::new();
            servers.set_implicit(true);
            Item::Table(servers)
        });
        match servers {
            Item::Value(value) => {
                if let Some(servers) = value.as_inline_table_mut() {
                    servers.insert(name.as_str(), table.into_inline_table().into());
                }
            }
            other => other[name.as_str()] = Item::Table(table),
        }
    }

    /// Removes the table of a server; says whether it was there.
    pub fn remove_server(&mut self, name: &Name) -> bool {
        let servers = self.document.get_mut("servers").and_then(Item::as_table_like_mut);
        servers.and_then(|servers| servers.remove(name.as_str())).is_some()
    }

    /// Switches a server on.
    pub fn enable(&mut self, name: &Name) {
        self.switch("disable", name, false);
        self.switch("enable", name, true);
    }

    /// Takes a server out of both lists.
    pub fn forget_switch(&mut self, name: &Name) {
        self.switch("disable", name, false);
        self.switch("enable", name, false);
    }

    fn switch(&mut self, key: &str, name: &Name, on: bool) {
        let list = self.document.get_mut(key).and_then(Item::as_array_mut);
        match (list, on) {
            (Some(list), true) if list.iter().all(|word| word.as_str() != Some(name.as_str())) => {
                list.push(name.as_str());
            }
            (Some(list), false) => {
                list.retain(|word| word.as_str() != Some(name.as_str()));
                if list.is_empty() {
                    self.document.remove(key);
                }
            }
            (None, true) => {
                let list: Array = [name.as_str()].into_iter().collect();
                self.document.insert(key, Item::Value(Value::Array(list)));
            }
            _ => {}
        }
    }
}
