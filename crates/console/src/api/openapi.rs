//! The OpenAPI 3.1 document: made from the table of operations and `schemas.json`.

use serde_json::{Map, Value, json};

const SCHEMAS: &str = include_str!("schemas.json");

/// What an operation answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    /// 204.
    Nothing,
    /// 200 with a schema of this name.
    Json(&'static str),
    List(&'static str),
    /// `{items, next}`.
    Page(&'static str),
    /// 200 with bytes of this type.
    Bytes(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Takes {
    Nothing,
    Json(&'static str),
    Bytes,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub method: &'static str,
    pub path: &'static str,
    id: &'static str,
    says: &'static str,
    /// Scope that it needs; empty: anybody may.
    scope: &'static str,
    query: Vec<(&'static str, Value)>,
    takes: Takes,
    gives: Gives,
}

impl Op {
    pub fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        says: &'static str,
        scope: &'static str,
    ) -> Op {
        Op { method, path, id, says, scope, query: Vec::new(), takes: Takes::Nothing, gives: Gives::Nothing }
    }

    pub fn gives(mut self, gives: Gives) -> Op {
        self.gives = gives;
        self
    }

    /// A JSON body of this schema; empty: none.
    pub fn takes(mut self, schema: &'static str) -> Op {
        self.takes = if schema.is_empty() { Takes::Nothing } else { Takes::Json(schema) };
        self
    }

    pub fn takes_bytes(mut self) -> Op {
        self.takes = Takes::Bytes;
        self
    }

    pub fn query(mut self, name: &'static str, kind: &'static str) -> Op {
        let mut schema = json!({"type": kind});
        if kind == "integer" {
            schema["minimum"] = json!(0);
        }
        if name == "channel" {
            schema = json!({"$ref": "#/components/schemas/Channel"});
        }
        self.query.push((name, schema));
        self
    }

    pub fn query_list(mut self, name: &'static str) -> Op {
        let items = match name {
            "states" => json!({"$ref": "#/components/schemas/State"}),
            "verdicts" => json!({"$ref": "#/components/schemas/Verdict"}),
            _ => json!({"type": "string"}),
        };
        self.query.push((name, json!({"type": "array", "items": items, "maxItems": 8})));
        self
    }

    fn parameters(&self) -> Vec<Value> {
        let places = self.path.split('/').filter_map(|piece| piece.strip_prefix('{')?.strip_suffix('}'));
        let in_path =
            places.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let in_query = self.query.iter().map(|(name, schema)| json!({"name": name, "in": "query", "schema": schema}));
        in_path.chain(in_query).collect()
    }

    fn answers(&self) -> Value {
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let said = |schema: Value| json!({"description": "Done", "content": {"application/json": {"schema": schema}}});
        let (status, right) = match self.gives {
            Gives::Nothing => ("204", json!({"description": "Done"})),
            Gives::Json(name) => ("200", said(reference(name))),
            Gives::List(name) => ("200", said(json!({"type": "array", "items": reference(name)}))),
            Gives::Page(name) => (
                "200",
                said(json!({"type": "object", "required": ["items", "next"], "additionalProperties": false,
                    "properties": {"items": {"type": "array", "items": reference(name)}, "next": {"type": ["string", "null"]}}})),
            ),
            Gives::Bytes(kind) => {
                ("200", json!({"description": "Bytes", "content": {(kind): {"schema": {"type": "string"}}}}))
            }
        };
        let mut answers = Map::from_iter([(status.to_owned(), right)]);
        for status in self.refusals() {
            answers.insert(status.to_owned(), json!({"$ref": "#/components/responses/Problem"}));
        }
        Value::Object(answers)
    }

    /// Statuses a refusal of this operation may have.
    fn refusals(&self) -> Vec<&'static str> {
        if self.scope.is_empty() {
            return Vec::new();
        }
        let mut all = vec!["401", "403", "500", "503"];
        let acts = self.method != "get";
        if !matches!(self.takes, Takes::Nothing) {
            all.extend(["400", "413", "415"]);
        }
        if acts || !self.query.is_empty() {
            all.push("422");
        }
        if self.path.contains('{') {
            all.extend(["400", "404"]);
        }
        if acts {
            all.push("409");
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn value(&self) -> Value {
        let mut value = json!({
            "operationId": self.id, "summary": self.says, "parameters": self.parameters(), "responses": self.answers(),
        });
        match self.takes {
            Takes::Nothing => {}
            Takes::Json(name) => {
                let schema = json!({"$ref": format!("#/components/schemas/{name}")});
                value["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
            }
            Takes::Bytes => {
                let content = json!({"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}});
                value["requestBody"] = json!({"required": true, "content": content});
            }
        }
        value["security"] = if self.scope.is_empty() { json!([]) } else { json!([{"token": [self.scope]}]) };
        if !self.scope.is_empty() {
            value["description"] = json!(format!("Needs the scope `{}`.", self.scope));
        }
        value
    }
}

pub(super) fn document(operations: impl Iterator<Item = Op>) -> Value {
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("schemas.json is JSON; a test reads it");
    let mut paths = Map::new();
    for op in operations {
        let path = paths.entry(op.path).or_insert_with(|| json!({}));
        path[op.method] = op.value();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Guarita admin API", "version": "1",
            "description": "Everything the console can do. Errors are RFC 9457 problem details; times are milliseconds since 1970.",
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"Problem": {
                "description": "Refused or failed; see `detail`",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
        },
    })
}
