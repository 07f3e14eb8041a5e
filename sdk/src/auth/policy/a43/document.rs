//! The document, as it is written: what may stand where.

use serde::de::MapAccess;

use super::object::{Object, Read, Struct, array, value};

#[derive(Default)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) deny_rules: Vec<Read<Rule>>,
    pub(super) allow_rules: Vec<Read<Rule>>,
    pub(super) audit: Read<Audit>,
}

#[derive(Default)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) source: Read<Source>,
    pub(super) request: Read<Request>,
}

#[derive(Default)]
pub(super) struct Source {
    pub(super) principals: Vec<String>,
}

#[derive(Default)]
pub(super) struct Request {
    pub(super) paths: Vec<String>,
    pub(super) headers: Vec<Read<Header>>,
}

#[derive(Default)]
pub(super) struct Header {
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

#[derive(Default)]
pub(super) struct Audit {
    pub(super) condition: String,
    pub(super) loggers: Vec<Read<Logger>>,
}

#[derive(Default)]
pub(super) struct Logger {
    pub(super) name: String,
    pub(super) config: Struct,
    pub(super) is_optional: bool,
}

impl Object for Document {
    const WHAT: &'static str = "a policy, which is an object";
    const FIELDS: &'static [&'static str] = &["name", "deny_rules", "allow_rules", "audit_logging_options"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "name" => self.name = value(map)?,
            "deny_rules" => self.deny_rules = array(map)?,
            "allow_rules" => self.allow_rules = array(map)?,
            _ => self.audit = value(map)?,
        }
        Ok(())
    }
}

impl Object for Rule {
    const WHAT: &'static str = "a rule, which is an object";
    const FIELDS: &'static [&'static str] = &["name", "source", "request"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "name" => self.name = value(map)?,
            "source" => self.source = value(map)?,
            _ => self.request = value(map)?,
        }
        Ok(())
    }
}

impl Object for Source {
    const WHAT: &'static str = "a `source`, which is an object";
    const FIELDS: &'static [&'static str] = &["principals"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.principals = array(map)?;
        Ok(())
    }
}

impl Object for Request {
    const WHAT: &'static str = "a `request`, which is an object";
    const FIELDS: &'static [&'static str] = &["paths", "headers"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "paths" => self.paths = array(map)?,
            _ => self.headers = array(map)?,
        }
        Ok(())
    }
}

impl Object for Header {
    const WHAT: &'static str = "a header, which is an object";
    const FIELDS: &'static [&'static str] = &["key", "values"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "key" => self.key = value(map)?,
            _ => self.values = array(map)?,
        }
        Ok(())
    }
}

impl Object for Audit {
    const WHAT: &'static str = "`audit_logging_options`, which is an object";
    const FIELDS: &'static [&'static str] = &["audit_condition", "audit_loggers"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "audit_condition" => self.condition = value(map)?,
            _ => self.loggers = array(map)?,
        }
        Ok(())
    }
}

impl Object for Logger {
    const WHAT: &'static str = "a logger, which is an object";
    const FIELDS: &'static [&'static str] = &["name", "config", "is_optional"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "name" => self.name = value(map)?,
            "config" => self.config = value(map)?,
            _ => self.is_optional = value(map)?,
        }
        Ok(())
    }
}
