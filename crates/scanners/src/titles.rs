//! The sentences a person reads with a finding of clamd, in the operator's language. Data only.

use guarita_message::Language;

/// Titles of findings, one a kind of answer clamd gives. The defaults of a language come from [`Titles::of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Titles {
    pub malware: String,
    pub unwanted: String,
    pub heuristic: String,
    pub phishing: String,
    pub macros: String,
    pub exploit: String,
    pub bomb: String,
    pub active_content: String,
    pub payment_card: String,
    pub personal_id: String,
    pub broken: String,
}

impl Titles {
    pub fn of(language: Language) -> Self {
        let words: [&str; 11] = match language {
            Language::Portuguese => [
                "Malware conhecido",
                "Programa possivelmente indesejado",
                "Sinal suspeito no arquivo",
                "Arquivo com sinais de phishing",
                "Documento com macros",
                "Exploração de falha conhecida",
                "Arquivo compactado feito para travar quem o abre",
                "Conteúdo ativo escondido no documento",
                "Números de cartão no arquivo",
                "Documentos de identidade no arquivo",
                "Arquivo malformado",
            ],
            Language::English => [
                "Known malware",
                "Possibly unwanted program",
                "Suspicious sign in the file",
                "File with signs of phishing",
                "Document with macros",
                "Known exploit",
                "Archive made to overwhelm whoever opens it",
                "Hidden active content in the document",
                "Card numbers in the file",
                "Identity numbers in the file",
                "Malformed file",
            ],
            Language::Spanish => [
                "Malware conocido",
                "Programa posiblemente no deseado",
                "Indicio sospechoso en el archivo",
                "Archivo con indicios de phishing",
                "Documento con macros",
                "Explotación de una vulnerabilidad conocida",
                "Archivo comprimido hecho para bloquear a quien lo abre",
                "Contenido activo oculto en el documento",
                "Números de tarjeta en el archivo",
                "Documentos de identidad en el archivo",
                "Archivo mal formado",
            ],
        };
        let [malware, unwanted, heuristic, phishing, macros, exploit, bomb, active, card, id, broken] =
            words.map(str::to_owned);
        Titles {
            malware,
            unwanted,
            heuristic,
            phishing,
            macros,
            exploit,
            bomb,
            active_content: active,
            payment_card: card,
            personal_id: id,
            broken,
        }
    }
}

impl Default for Titles {
    fn default() -> Self {
        Titles::of(Language::default())
    }
}
