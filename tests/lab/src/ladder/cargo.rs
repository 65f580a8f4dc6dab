//! What `Cargo.toml` says of the steps, and packages made after its model.

use std::path::Path;

use toml::{Table, Value};

/// The manifest of the workbook.
#[derive(Clone, Debug)]
pub struct Manifest(Table);

impl Manifest {
    /// Reads `Cargo.toml` in this directory; fails with what is wrong with the file, and its name.
    pub fn read(root: &Path) -> Result<Manifest, String> {
        let file = root.join("Cargo.toml");
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| wrong(&error))?;
        text.parse().map(Manifest).map_err(|error| wrong(&error))
    }

    /// The tables of one kind, such as `dependencies`: the plain one, and those that hold for some
    /// targets only.
    fn tables(&self, kind: &str) -> impl Iterator<Item = &Table> {
        let targets = self.0.get("target").and_then(Value::as_table);
        let places = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        std::iter::once(&self.0).chain(places).filter_map(move |place| place.get(kind)?.as_table())
    }

    /// The names of the dependencies of one kind, for whatever target they are.
    pub fn dependencies(&self, kind: &str) -> Vec<String> {
        self.tables(kind).flat_map(Table::keys).cloned().collect()
    }

    /// The programs, each with the file that its `main` is in.
    pub fn programs(&self) -> Vec<(String, String)> {
        let text = |program: &Value, key: &str| Some(program.get(key)?.as_str()?.to_string());
        let bins = self.0.get("bin").and_then(Value::as_array).into_iter().flatten();
        bins.filter_map(|bin| Some((text(bin, "name")?, text(bin, "path")?))).collect()
    }

    /// The manifest of a package apart from the workspace, with these programs, and with the
    /// dependencies and profiles that the steps have.
    pub fn package(&self, name: &str, programs: &[(String, String)]) -> String {
        let mut like_the_steps = Table::new();
        let dependencies = self.tables("dependencies").flatten();
        let dependencies: Table =
            dependencies.map(|(name, what)| (name.clone(), what.clone())).collect();
        like_the_steps.insert("dependencies".into(), dependencies.into());
        like_the_steps.extend(self.0.get("profile").map(|it| ("profile".into(), it.clone())));
        let bin = |(name, path): &(String, String)| {
            format!("[[bin]]\nname = {name:?}\npath = {path:?}\n\n")
        };
        let bins: String = programs.iter().map(bin).collect();
        format!(
            "[workspace]\n\n[package]\nname = {name:?}\nedition = \"2024\"\n\n{bins}{like_the_steps}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_found_for_whatever_target_it_is() {
        let manifest = Manifest(
            r#"
            [package]
            name = "no-dependency"
            [dependencies]
            one = "1"
            # two = "2"
            [dependencies.three]
            version = "3"
            [target.'cfg(unix)'.dependencies.four]
            version = "4"
            [workspace.dependencies]
            of-others = "1"
            [dev-dependencies]
            five = "5"
            "#
            .parse()
            .unwrap(),
        );
        assert_eq!(manifest.dependencies("dependencies"), ["one", "three", "four"]);
        assert_eq!(manifest.dependencies("dev-dependencies"), ["five"]);
    }

    #[test]
    fn a_package_made_after_the_workbook_has_its_dependencies_and_profiles() {
        let workbook = Manifest::read(&super::super::root()).unwrap();
        let text = workbook.package("p", &[("a".into(), "src/a.rs".into())]);
        let package = Manifest(text.parse().unwrap());
        assert_eq!(package.programs(), [("a".into(), "src/a.rs".into())]);
        assert_eq!(package.dependencies("dependencies"), workbook.dependencies("dependencies"));
        assert_eq!(package.0.get("profile"), workbook.0.get("profile"));
    }
}
