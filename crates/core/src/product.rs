//! Products: devices of one make and model, and what they can be told to do.
//!
//! A [`Profile`] is what a product's devices can do: services, their properties and commands. It is made of parts that
//! are read elsewhere and checked here, so that a profile at hand is whole: its names are unique and its limits make
//! sense. [`check`] says whether a command fits it.

pub mod check;
pub mod decimal;
pub mod para;
pub mod product_ref;
pub mod settings;

pub use check::{Given, Rule, Unfit, Value};
pub use decimal::Decimal;
pub use para::{DataType, Para};
pub use product_ref::{ProductNames, ProductRef};
pub use settings::{CheckParas, ProductSettings, WorkMode};

/// Services of a profile, and commands or properties of a service, at the most (the platform's limits).
pub const MAX_MEMBERS: usize = 500;
/// Parameters of a command, or of an answer, at the most. The platform names no limit.
pub const MAX_PARAS: usize = 200;

/// What the devices of a product can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// By id.
    services: Vec<Service>,
}

/// A service of a product's devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// What commands and reports name it by; 1 to 64 characters.
    pub id: String,
    /// What kind of service it is; often the same.
    pub kind: String,
    /// What devices report of it.
    pub properties: Vec<Para>,
    /// What devices can be told to do; after [`Profile::new`] by name.
    pub commands: Vec<CommandForm>,
}

/// A command as a profile declares it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandForm {
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// Its parameters.
    pub paras: Vec<Para>,
    /// The answers that devices give; none: the device does not answer, and its acknowledgement is the end.
    pub responses: Vec<ResponseForm>,
}

/// An answer to a command as a profile declares it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseForm {
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// What it says.
    pub paras: Vec<Para>,
}

impl CommandForm {
    /// Whether devices answer this command, as far as the profile says.
    pub fn is_answered(&self) -> bool {
        !self.responses.is_empty()
    }
}

/// What is wrong with a profile: where, and the rule that is broken there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {rule}")]
pub struct Flaw {
    /// Which part, by names: `services.Lamp.commands.SWITCH`.
    pub place: String,
    /// The rule, to be read after the place.
    pub rule: String,
}

impl Flaw {
    fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            rule: rule.into(),
        }
    }
}

impl Profile {
    /// The profile of these services.
    ///
    /// # Errors
    /// A name is empty, too long or there twice; there are too many of something; a limit makes no sense.
    pub fn new(mut services: Vec<Service>) -> Result<Self, Flaw> {
        sort("services", &mut services, MAX_MEMBERS, |service| &service.id)?;
        for service in &mut services {
            let place = format!("services.{}", service.id);
            name(&place, &service.id, 64)?;
            paras(&place, "properties", &service.properties, MAX_MEMBERS)?;
            let commands = format!("{place}.commands");
            sort(&commands, &mut service.commands, MAX_MEMBERS, |command| {
                &command.name
            })?;
            for command in &service.commands {
                command.examine(&commands)?;
            }
        }
        Ok(Self { services })
    }

    /// Its services, by id.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service with this id.
    pub fn service(&self, id: &str) -> Option<&Service> {
        let place = self
            .services
            .binary_search_by(|service| service.id.as_str().cmp(id));
        place.ok().map(|place| &self.services[place])
    }

    /// The command with this name of that service.
    ///
    /// # Errors
    /// There is no such service, or no such command of it.
    pub fn command(&self, service: &str, command: &str) -> Result<&CommandForm, Unfit> {
        let commands = &self.service(service).ok_or(Unfit::Service)?.commands;
        let place = commands.binary_search_by(|form| form.name.as_str().cmp(command));
        place.map(|place| &commands[place]).map_err(|_| Unfit::Command)
    }
}

impl CommandForm {
    fn examine(&self, commands: &str) -> Result<(), Flaw> {
        let place = format!("{commands}.{}", self.name);
        name(&place, &self.name, 128)?;
        paras(&place, "paras", &self.paras, MAX_PARAS)?;
        if self.responses.len() > MAX_PARAS {
            return Err(Flaw::new(
                format!("{place}.responses"),
                format!("must be at most {MAX_PARAS}"),
            ));
        }
        for response in &self.responses {
            let place = format!("{place}.responses.{}", response.name);
            name(&place, &response.name, 128)?;
            paras(&place, "paras", &response.paras, MAX_PARAS)?;
        }
        Ok(())
    }
}

/// Brings `items` in order of their names, which must be unique.
fn sort<T>(place: &str, items: &mut [T], most: usize, name: impl Fn(&T) -> &String) -> Result<(), Flaw> {
    if items.len() > most {
        return Err(Flaw::new(place, format!("must be at most {most}")));
    }
    items.sort_by(|one, other| name(one).cmp(name(other)));
    match items.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
        None => Ok(()),
        Some(pair) => Err(Flaw::new(
            format!("{place}.{}", name(&pair[0])),
            "must not be there twice",
        )),
    }
}

fn name(place: &str, name: &str, max: usize) -> Result<(), Flaw> {
    let fits = (1..=max).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    match fits {
        true => Ok(()),
        false => Err(Flaw::new(
            place,
            format!("the name must have 1 to {max} characters, without control characters"),
        )),
    }
}

fn paras(place: &str, of: &str, paras: &[Para], most: usize) -> Result<(), Flaw> {
    let place = format!("{place}.{of}");
    let mut names: Vec<&Para> = paras.iter().collect();
    sort(&place, &mut names, most, |para| &para.name)?;
    for para in paras {
        let place = format!("{place}.{}", para.name);
        name(&place, &para.name, 64)?;
        para.examine().map_err(|rule| Flaw::new(place, rule))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, commands: &[&str]) -> Service {
        let form = |name: &&str| CommandForm {
            name: (*name).to_owned(),
            ..CommandForm::default()
        };
        Service {
            id: id.to_owned(),
            commands: commands.iter().map(form).collect(),
            ..Service::default()
        }
    }

    fn place(services: Vec<Service>) -> String {
        Profile::new(services).unwrap_err().place
    }

    #[test]
    fn commands_are_found_by_service_and_name() {
        let profile = Profile::new(vec![service("b", &["z", "a"]), service("a", &["x"])]).unwrap();
        assert_eq!(profile.command("b", "z").unwrap().name, "z");
        assert_eq!(profile.command("a", "x").unwrap().name, "x");
        assert_eq!(profile.command("a", "a"), Err(Unfit::Command));
        assert_eq!(profile.command("c", "x"), Err(Unfit::Service));
        assert!(!profile.command("a", "x").unwrap().is_answered());
    }

    #[test]
    fn a_flaw_is_told_by_its_place() {
        assert_eq!(place(vec![service("a", &[]), service("a", &[])]), "services.a");
        assert_eq!(place(vec![service("", &[])]), "services.");
        assert_eq!(place(vec![service(&"x".repeat(65), &[])]).len(), 9 + 65);
        assert_eq!(place(vec![service("a", &["c", "c"])]), "services.a.commands.c");
        let mut one = service("a", &["c"]);
        one.commands[0].paras = vec![Para::new("v", DataType::Int), Para::new("v", DataType::Int)];
        assert_eq!(place(vec![one.clone()]), "services.a.commands.c.paras.v");
        one.commands[0].paras.pop();
        one.commands[0].paras[0].min = Some("2".parse().unwrap());
        one.commands[0].paras[0].max = Some("1".parse().unwrap());
        assert_eq!(place(vec![one]), "services.a.commands.c.paras.v");
        let many = (0..=MAX_MEMBERS).map(|n| service(&n.to_string(), &[])).collect();
        assert_eq!(place(many), "services");
    }
}
