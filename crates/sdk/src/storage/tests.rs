use super::*;
use crate::for_tests::{Items, Place, secret, text};

const SERVICE: &str = "com.mcp.s";

fn get(storage: &Storage, name: &str) -> Option<String> {
    storage.retrieve_secret(name).unwrap().map(|value| text(&value))
}

fn begin() -> (Place, Arc<Items>, Storage) {
    let (place, items) = (Place::new(&[]), Arc::<Items>::default());
    let storage = place.storage("s", &items);
    (place, items, storage)
}

#[test]
fn a_secret_is_stored_listed_read_and_deleted() {
    let (_place, items, storage) = begin();
    assert_eq!(get(&storage, "a"), None);
    storage.store_secret("b", secret("1")).unwrap();
    storage.store_secret("a", secret("2")).unwrap();
    storage.store_secret("b", secret("3")).unwrap();
    assert_eq!(get(&storage, "b").as_deref(), Some("3"));
    assert_eq!(storage.list_secrets().unwrap(), ["a", "b"]);
    assert_eq!(items.find(SERVICE, INDEX).as_deref(), Some(r#"["b","a"]"#));
    assert_eq!(storage.missing(&["a", "c", "b", "c"]).unwrap(), ["c"]);
    assert!(storage.delete_secret("b").unwrap());
    assert!(!storage.delete_secret("b").unwrap());
    assert_eq!(items.find(SERVICE, INDEX).as_deref(), Some(r#"["a"]"#));
    assert_eq!(storage.clear_secrets().unwrap(), 1);
    assert!(items.all.lock().unwrap().is_empty(), "nothing is left");
}

#[test]
fn what_is_no_value_is_refused() {
    let (_place, items, storage) = begin();
    let large = Secret::new(vec![b'x'; LARGEST + 1]);
    for (value, code) in [
        (secret(""), "empty_value"),
        (large, "value_too_large"),
        (Secret::new(vec![0xff]), "not_text"),
    ] {
        assert_eq!(storage.store_secret("a", value).unwrap_err().code(), code);
    }
    for name in ["", "__secret_index__", "__proto__", "a\n"] {
        storage.store_secret(name, secret("x")).unwrap_err();
        storage.retrieve_secret(name).unwrap_err();
        storage.delete_secret(name).unwrap_err();
    }
    assert!(items.all.lock().unwrap().is_empty());
    storage.store_secret("a", Secret::new(vec![b'x'; LARGEST])).unwrap();
}

#[test]
fn items_and_index_that_differ_are_put_right_by_what_is_there() {
    let (_place, items, storage) = begin();
    // A process was killed between the item and the index; another between deletions.
    items.put(SERVICE, "new", "1");
    items.put(SERVICE, INDEX, r#"["gone"]"#);
    assert_eq!(storage.list_secrets().unwrap(), ["new"]);
    assert_eq!(items.find(SERVICE, INDEX).as_deref(), Some(r#"["new"]"#));
    // An index that is none.
    for index in ["", "canary", "{}", "[1]"] {
        items.put(SERVICE, INDEX, index);
        assert_eq!(storage.list_secrets().unwrap(), ["new"]);
        storage.store_secret("b", secret("2")).unwrap();
        assert_eq!(storage.list_secrets().unwrap(), ["b", "new"]);
        storage.delete_secret("b").unwrap();
    }
}

#[test]
fn where_one_of_several_cannot_be_stored_what_was_there_is_put_back() {
    let (_place, items, storage) = begin();
    storage.store_secret("a", secret("old")).unwrap();
    let before = items.all.lock().unwrap().clone();
    let values = || ["b", "a", "c"].map(|name| (name.to_owned(), secret("new"))).into();
    for broken in ["a", "c", INDEX] {
        *items.broken.lock().unwrap() = Some(broken.to_owned());
        storage.store_secrets(values()).unwrap_err();
        if broken != "a" {
            assert_eq!(*items.all.lock().unwrap(), before, "{broken}");
        }
    }
    *items.broken.lock().unwrap() = None;
    storage.store_secrets(values()).unwrap();
    assert_eq!(storage.list_secrets().unwrap(), ["a", "b", "c"]);
}

#[test]
fn where_items_are_small_a_large_value_comes_back_and_leaves_no_part_behind() {
    let place = Place::new(&[]);
    let items = Items::like_windows();
    let storage = place.storage("s", &items);
    let large = "𝄞é".repeat(2_000);
    for value in [large.as_str(), "short", &large[..6_000], &large, &large[..3_000]] {
        storage.store_secret("a", secret(value)).unwrap();
        assert_eq!(get(&storage, "a").as_deref(), Some(value));
        let parts = items.accounts_of(SERVICE).iter().filter(|a| a.starts_with("__part__")).count();
        let units = value.encode_utf16().count();
        assert_eq!(parts, if units <= 1280 { 0 } else { units.div_ceil(1280).max(2) }, "{units}");
    }
    assert_eq!(storage.list_secrets().unwrap(), ["a"]);
    assert!(storage.delete_secret("a").unwrap());
    assert_eq!(items.accounts_of(SERVICE), [INDEX]);
}

#[test]
fn a_value_of_which_a_part_is_missing_is_no_value() {
    let place = Place::new(&[]);
    let items = Items::like_windows();
    let storage = place.storage("s", &items);
    storage.store_secret("a", secret(&"x".repeat(5_000))).unwrap();
    let part = items.accounts_of(SERVICE).into_iter().find(|a| a.starts_with("__part__")).unwrap();
    items.delete(SERVICE, &part).unwrap();
    assert_eq!(storage.retrieve_secret("a").unwrap_err().code(), "storage_damaged");
}

#[test]
fn many_names_fit_an_index_whose_items_are_small() {
    let place = Place::new(&[]);
    let items = Items::like_windows();
    let storage = place.storage("s", &items);
    let names: Vec<String> = (0..60).map(|n| format!("{n:02}-{}", "x".repeat(60))).collect();
    let values = names.iter().map(|name| (name.clone(), secret("v"))).collect();
    storage.store_secrets(values).unwrap();
    assert_eq!(storage.list_secrets().unwrap(), names);
    assert_eq!(storage.clear_secrets().unwrap(), 60);
    assert!(items.all.lock().unwrap().is_empty());
}

#[test]
fn two_programs_of_one_name_do_not_see_each_others_secrets_and_the_second_is_told() {
    let place = Place::new(&[]);
    let items: Arc<Items> = Arc::default();
    let programs = ["a.py", "b.py"].map(|name| place.home.path().join(name));
    for path in &programs {
        std::fs::write(path, "").unwrap();
    }
    let of = |program: Option<&std::path::PathBuf>| {
        let mut surroundings = place.surroundings.clone();
        surroundings.program = program.cloned();
        let backend: Arc<dyn Backend> = Arc::<Items>::clone(&items);
        Storage::over("two of one name", surroundings, backend)
    };
    let (first, second) = (of(Some(&programs[0])), of(Some(&programs[1])));
    // Nobody has the name before something is stored.
    assert_eq!(get(&second, "key"), None);
    first.store_secret("key", secret("first")).unwrap();
    second.store_secret("key", secret("second")).unwrap();
    assert_eq!(get(&first, "key").as_deref(), Some("first"));
    assert_eq!(get(&second, "key").as_deref(), Some("second"));
    assert_eq!(items.find("com.mcp.two of one name", "key").as_deref(), Some("first"));
    assert_eq!(place.codes(), ["name_is_anothers"]);
    // The same program, started again, finds its own; so does one that nobody can name.
    assert_eq!(get(&of(Some(&programs[0])), "key").as_deref(), Some("first"));
    assert_eq!(get(&of(Some(&programs[1])), "key").as_deref(), Some("second"));
    assert_eq!(get(&of(None), "key").as_deref(), Some("first"));
    second.clear_secrets().unwrap();
    assert_eq!(get(&first, "key").as_deref(), Some("first"));
    first.clear_secrets().unwrap();
    assert!(items.all.lock().unwrap().is_empty());
}

#[test]
fn a_program_that_takes_the_place_of_one_that_is_gone_has_its_secrets_and_is_told() {
    let place = Place::new(&[]);
    let items: Arc<Items> = Arc::default();
    let [old, new] = ["old.py", "new.py"].map(|name| place.home.path().join(name));
    let of = |program: &std::path::PathBuf| {
        std::fs::write(program, "").unwrap();
        let mut surroundings = place.surroundings.clone();
        surroundings.program = Some(program.clone());
        let backend: Arc<dyn Backend> = Arc::<Items>::clone(&items);
        Storage::over("moved", surroundings, backend)
    };
    of(&old).store_secret("key", secret("1")).unwrap();
    std::fs::remove_file(&old).unwrap();
    let moved = of(&new);
    assert_eq!(get(&moved, "key").as_deref(), Some("1"));
    moved.store_secret("key", secret("2")).unwrap();
    assert_eq!(place.codes(), ["name_taken_over"]);
    assert!(items.find("com.mcp.moved", "__server_identity__").unwrap().contains("new.py"));
}

#[test]
fn a_value_that_another_program_left_is_judged_before_it_is_given() {
    let (_place, items, storage) = begin();
    items.put(SERVICE, "empty", "");
    assert_eq!(get(&storage, "empty"), None);
    items.put(SERVICE, "python", "from python");
    assert_eq!(get(&storage, "python").as_deref(), Some("from python"));
}

/// A keychain that came to a machine whose secrets lie in a sealed file.
fn with_left(program: Option<&std::path::Path>, place: &Place, both: &[Arc<Items>; 2]) -> Storage {
    let mut surroundings = place.surroundings.clone();
    surroundings.program = program.map(std::path::Path::to_owned);
    let [keychain, file] = both.clone().map(|items| -> Arc<dyn Backend> { items });
    Storage::over_both("s", surroundings, keychain, Some(file))
}

#[test]
fn what_was_kept_while_there_was_no_keychain_is_found_and_what_is_stored_leaves_it() {
    let (place, both) = (Place::new(&[]), [Arc::<Items>::default(), Arc::default()]);
    let before = place.storage("s", &both[1]);
    for name in ["a", "b"] {
        before.store_secret(name, secret("old")).unwrap();
    }
    let storage = with_left(None, &place, &both);
    assert_eq!(get(&storage, "a").as_deref(), Some("old"));
    storage.store_secret("c", secret("new")).unwrap();
    assert_eq!(storage.list_secrets().unwrap(), ["a", "b", "c"]);
    assert_eq!(both[0].find(SERVICE, INDEX).as_deref(), Some(r#"["c"]"#), "only what is there");
    storage.store_secret("a", secret("new")).unwrap();
    assert_eq!(get(&storage, "a").as_deref(), Some("new"));
    assert_eq!(get(&before, "a"), None, "an old value does not come back");
    assert_eq!(before.list_secrets().unwrap(), ["b"]);
    storage.store_secret("b", secret("new")).unwrap();
    assert!(both[1].all.lock().unwrap().is_empty(), "with the last secret all of it has gone");
}

#[test]
fn what_is_deleted_or_cleared_is_left_in_neither_place() {
    let (place, both) = (Place::new(&[]), [Arc::<Items>::default(), Arc::default()]);
    let here = place.storage("s", &both[0]);
    let before = place.storage("s", &both[1]);
    for storage in [&before, &here] {
        for name in ["both", if std::ptr::eq(storage, &raw const here) { "here" } else { "before" }]
        {
            storage.store_secret(name, secret("x")).unwrap();
        }
    }
    let storage = with_left(None, &place, &both);
    assert!(storage.delete_secret("before").unwrap());
    assert!(!storage.delete_secret("before").unwrap());
    assert_eq!((get(&before, "before"), get(&before, "both").as_deref()), (None, Some("x")));
    before.store_secret("before", secret("x")).unwrap();
    assert_eq!(storage.clear_secrets().unwrap(), 3);
    assert_eq!(storage.list_secrets().unwrap(), [""; 0]);
    for items in both {
        assert!(items.all.lock().unwrap().is_empty(), "nothing is left");
    }
}

#[test]
fn two_programs_of_one_name_keep_what_each_had_before_the_keychain_came() {
    let (place, both) = (Place::new(&[]), [Arc::<Items>::default(), Arc::default()]);
    let programs = ["a.py", "b.py"].map(|name| place.home.path().join(name));
    for path in &programs {
        std::fs::write(path, "").unwrap();
    }
    let [a, b] = [&programs[0], &programs[1]];
    let before = |program: &std::path::Path| {
        let mut surroundings = place.surroundings.clone();
        surroundings.program = Some(program.to_owned());
        let file: Arc<dyn Backend> = Arc::<Items>::clone(&both[1]);
        Storage::over("s", surroundings, file)
    };
    before(a).store_secret("key", secret("of a")).unwrap();
    before(b).store_secret("key", secret("of b")).unwrap();
    // In the keychain they come in the other order.
    let (now_b, now_a) = (with_left(Some(b), &place, &both), with_left(Some(a), &place, &both));
    now_b.store_secret("more", secret("of b")).unwrap();
    now_a.store_secret("more", secret("of a")).unwrap();
    assert_eq!(get(&now_a, "key").as_deref(), Some("of a"));
    assert_eq!(get(&now_b, "key").as_deref(), Some("of b"));
    assert_eq!(now_b.clear_secrets().unwrap(), 2);
    assert_eq!(now_a.list_secrets().unwrap(), ["key", "more"]);
    assert_eq!(get(&before(b), "key"), None);
    assert_eq!(now_a.clear_secrets().unwrap(), 2);
    for items in both {
        assert!(items.all.lock().unwrap().is_empty(), "nothing is left");
    }
}
