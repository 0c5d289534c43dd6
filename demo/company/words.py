"""The words the sample company is made of. All people, companies and numbers are fictional.

E-mails are at subdomains of example.com (RFC 2606); phone numbers are of the ranges kept free for fiction.
"""

from __future__ import annotations


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _split(
    "Adaeze Agnieszka Alejandro Amara Anneliese Arvid Astrid Aurelio Bartosz Beatrix Benedikta Bogdan Bronwen Caspian "
    "Catalina Cillian Clementine Cosima Dagny Dariusz Delphine Dimitri Eilidh Ekaterina Eleni Emeka Esperanza Evander "
    "Farouk Fennimore Fiorella Florentina Freya Gaspard Ginevra Gudrun Hadewych Halvard Hyacinth Idris Ignatius Ilse "
    "Imogen Ingrid Isolde Jacinta Jarek Joaquin Jolanda Kasimir Katarzyna Kenji Keziah Kwame Lavinia Leocadia Lidewij "
    "Linnea Ludovic Maarten Magdalena Malachi Marisol Matteus Mireille Mungo Nadezhda Naveen Nerys Nikolaus Octavia "
    "Odalys Oisin Olamide Ottilie Parvati Percival Petronella Philippa Quentin Rafaela Ragnhild Rainer Rosalind "
    "Rosamund Sakura Saoirse Serafina Severin Shanice Sigrid Solveig Stellan Sunniva Tadeusz Tamsin Thaddeus Theodora "
    "Tiberius Tomasz Ulrika Umberto Valentina Vesna Viggo Waldemar Wilhelmina Xanthe Yevgenia Yolanda Zacharias Zofia"
)

LAST_NAMES = _split(
    "Abernathy Achterberg Adeyemi Aguirre Albrechtsen Ambrosini Anastasiou Arkwright Aspinall Bagshawe Balakrishnan "
    "Bartholomew Bellweather Bergstrom Birkenshaw Blackwood Bonaventure Bracegirdle Brzezinski Caldecott Calloway "
    "Carrasquillo Castellanos Chakrabarti Cholmondeley Christodoulou Czernin Dalgaard Darlington Delacroix Desrosiers "
    "Dobrowolski Drakopoulos Dunwoody Eberhardt Ellingboe Entwistle Espinoza Fairweather Falkenrath Featherstone "
    "Fernsby Fitzwilliam Fothergill Gallacher Gildersleeve Goldsworthy Grimaldi Gyllenhaal Habsburg Hammarskjold "
    "Harkness Hasegawa Hathersage Heatherington Hollingsworth Iyengar Jankowski Jimerson Kaczmarek Karamanlis "
    "Katzenberg Kirkbride Kowalczyk Krasinski Lachapelle Lancashire Lindqvist Lockhart Lowenstein Macalister "
    "Mackintosh Mandelbaum Marchetti Mbeki Merriweather Montefiore Nakagawa Nightingale Nwachukwu Oglethorpe "
    "Okonkwo Oppenheim Ostrowski Papadakis Pemberton Pettigrew Pomeroy Quackenbush Radcliffe Ramanujan Ravenscroft "
    "Rosenqvist Rutherford Sakamoto Satterthwaite Schwarzkopf Silvestri Skarsgard Somerville Stavropoulos Stoltenberg "
    "Szymanski Tattersall Thackeray Throckmorton Underhill Vandermeer Vasilakis Villanueva Waddington Weatherby "
    "Whittingham Winterbourne Wojciechowski Wolstenholme Yamashita Zamoyski Zimmerhansl"
)

COMPANY_FIRST = _split(
    "Amber Basalt Birch Cedar Cobalt Copper Coral Delta Ember Fjord Flint Garnet Granite Harbor Indigo Juniper Lantern "
    "Lumen Maple Meridian Nimbus Onyx Orchard Quartz Saffron Sierra Slate Summit Tundra Willow"
)
COMPANY_SECOND = _split(
    "Analytics Bakeries Biotech Brewing Capital Components Dynamics Energy Foods Freight Hardware Instruments Labs "
    "Lighting Logistics Machines Media Networks Optics Outfitters Paper Publishing Robotics Systems Textiles Tooling"
)
INDUSTRIES = ("COMPUTER_SOFTWARE", "FOOD_PRODUCTION", "LOGISTICS_AND_SUPPLY_CHAIN", "MACHINERY", "PUBLISHING")
JOB_TITLES = ("Head of Operations", "Chief Financial Officer", "IT Manager", "Process Owner", "Procurement Lead")

LOCALES = {"us": ("en-US", "en-US", "en-US", "es-US", "en-CA"), "eu": ("en-GB", "de-DE", "fr-FR", "nl-NL", "pl-PL")}
COUNTRIES = {"usd": "US", "eur": "DE", "gbp": "GB"}

WORKSPACES = ("Operations", "Finance", "Sales", "People", "Support", "Engineering", "Marketing", "Legal", "Procurement")
PROJECT_NOUNS = ("onboarding", "invoice intake", "contract review", "renewals", "expense audit", "vendor checks")
PROJECT_TAILS = ("2026", "pilot", "rollout", "backlog", "phase two", "clean-up")
WORKFLOWS = ("sync-contacts", "approve-invoice", "triage-ticket", "draft-contract", "close-month", "enrich-lead")
ENDPOINTS = (
    ("GET", "/v1/projects"),
    ("GET", "/v1/tasks"),
    ("POST", "/v1/tasks"),
    ("PATCH", "/v1/tasks/{id}"),
    ("POST", "/v1/workflows/{id}/runs"),
    ("GET", "/v1/runs/{id}"),
)
STATUS_CODES = (200,) * 80 + (201,) * 8 + (400, 404, 404, 409, 422, 429, 429, 500, 502, 503)
# model, cost of a million prompt tokens and of a million completion tokens in US dollars
MODELS = (("small-2", 0.15, 0.60), ("medium-2", 1.10, 4.40), ("large-1", 5.00, 15.00))

TASK_TITLES = (
    "Call {name} about the {noun}",
    "Check {noun} for {name}",
    "Collect signatures of {name} and legal",
    "Send the {noun} summary to {name}",
    "Prepare {noun} for the board",
    "Reconcile the {noun} figures",
)
COMMENT_BODIES = (
    "Spoke with {name} today, best reached at {phone}; the {noun} can go out on Thursday. (ref {ref})",
    "{name} asks for a copy of the {noun}, please send it to {email} before noon. (ref {ref})",
    "Not ready yet: {name} ({email}) still has to sign off on the {noun}. (ref {ref})",
    "Forwarding from {email}: the {noun} figures of last month do not add up, see row {ref}.",
    "Agreed on the phone ({phone}) with {name}: the {noun} moves to next quarter. (ref {ref})",
    "Closing the loop on the {noun}: nothing is left to do on our side, thanks everyone. (ref {ref})",
)
COMMENT_EDITS = " Edited after a second look: {name} confirmed it in writing."
PROMPTS = (
    "Summarise the thread with {name} about the {noun} in three sentences.",
    "Draft a polite reminder to {email} about the {noun}.",
    "Classify the {noun} request from {name} and suggest an owner.",
    "List the open questions on the {noun}, newest first.",
)
AUDIT_ACTIONS = ("login", "login", "login", "export", "settings.update", "token.create")

_AREA_CODES = (212, 312, 415, 503, 617, 713, 206, 404)


def phone_number(region: str, digits: int) -> str:
    """A number from the ranges kept for fiction: NANP 555-01xx in us, Ofcom's 020 7946 0xxx in eu."""
    if region == "us":
        return f"+1 ({_AREA_CODES[digits // 100 % len(_AREA_CODES)]}) 555-01{digits % 100:02d}"
    return f"+44 20 7946 0{digits % 1000:03d}"
