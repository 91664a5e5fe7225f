//! The manifest's JSON schema, made from the types that manifests are read into: for editors and other tools.
//!
//! It says what a manifest may look like. What types don't say (names that are unique, references that lead somewhere)
//! only [`super::parse`] finds.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema,
    transform::Transform,
};

use super::{
    ours::{AutoscaleProperties, PlacementProperties, RolloutProperties, Span},
    types::{ConfigProperty, LinkProperties, Manifest, SpreadProperties, TargetConfig, Trait},
};

/// The schema of a manifest, in JSON Schema draft 7, which editors know best.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Manifest>();
    schema.insert("title".into(), "Trellis application".into());
    OneLine.transform(&mut schema);
    schema.to_value()
}

/// Doc comments are broken into lines for the source; a description is not.
struct OneLine;

impl Transform for OneLine {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        schemars::transform::transform_subschemas(self, schema);
    }
}

impl JsonSchema for Trait {
    fn schema_name() -> Cow<'static, str> {
        "Trait".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let scale = generator.subschema_for::<SpreadProperties>();
        let cases = [
            (Self::SPREAD, scale.clone()),
            (Self::DAEMON, scale),
            (Self::LINK, generator.subschema_for::<LinkProperties>()),
            (
                Self::PLACEMENT,
                generator.subschema_for::<PlacementProperties>(),
            ),
            (
                Self::ROLLOUT,
                generator.subschema_for::<RolloutProperties>(),
            ),
            (
                Self::AUTOSCALE,
                generator.subschema_for::<AutoscaleProperties>(),
            ),
        ];
        // One case each, so that a mistake is told of the trait that is meant, not of all that it isn't.
        let cases: Vec<_> = cases
            .into_iter()
            .map(|(ty, properties)| {
                json_schema!({
                    "if": {"properties": {"type": {"const": ty}}},
                    "then": {"properties": {"properties": properties}},
                })
            })
            .collect();
        json_schema!({
            "description": "How a component is scaled, placed, updated or linked.",
            "type": "object",
            "required": ["type", "properties"],
            "additionalProperties": false,
            "properties": {
                "type": {
                    "description": "Which trait. One of another name has no effect.",
                    "anyOf": [{"enum": Self::KNOWN}, {"type": "string"}],
                },
                "properties": {"description": "The trait's properties."},
            },
            "allOf": cases,
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time, at most a week.",
            "anyOf": [
                {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*[A-Za-zµ]+\s*)+$"},
                {"const": 0},
                {"const": "0"},
            ],
            "examples": ["500ms", "30s", "1m 30s"],
        })
    }
}

/// A link's target: once it was its name alone, which 1.x still takes.
pub(super) fn target(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The target: a component of this manifest, and configuration for it.",
        "anyOf": [generator.subschema_for::<TargetConfig>(), {"type": "string"}],
    })
}

/// The older places of a link's configuration.
pub(super) fn older_link(schema: &mut Schema) {
    let config = ConfigProperty::schema_name();
    for (old, new) in [
        ("source_config", "source.config"),
        ("target_config", "target.config"),
    ] {
        let property = serde_json::json!({
            "description": format!("Deprecated: use `{new}`."),
            "type": "array",
            "items": {"$ref": format!("#/definitions/{config}")},
        });
        add_property(schema, old, property);
    }
}

/// The older name of a scaler's instances.
pub(super) fn older_scale(schema: &mut Schema) {
    let instances = schema
        .get("properties")
        .and_then(|properties| properties.get("instances"))
        .cloned();
    if let Some(mut replicas) = instances {
        if let Some(fields) = replicas.as_object_mut() {
            fields.insert("description".into(), "Deprecated: use `instances`.".into());
        }
        add_property(schema, "replicas", replicas);
    }
    schema.remove("required");
    schema.insert(
        "anyOf".into(),
        serde_json::json!([{"required": ["instances"]}, {"required": ["replicas"]}]),
    );
}

fn add_property(schema: &mut Schema, name: &str, property: serde_json::Value) {
    if let Some(properties) = schema
        .get_mut("properties")
        .and_then(serde_json::Value::as_object_mut)
    {
        properties.insert(name.to_owned(), property);
    }
}
