"""The objects of the sandbox's org: their fields, where their references lead, and what follows from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

EXTERNAL_ID = "External_Key__c"
HISTORY = "OpportunityFieldHistory"
TRACKED = ("StageName", "Amount", "CloseDate", "OwnerId")
STAGES = {  # stage → probability, forecast category
    "Prospecting": (10, "Pipeline"),
    "Qualification": (20, "Pipeline"),
    "Needs Analysis": (40, "Best Case"),
    "Proposal/Price Quote": (60, "Best Case"),
    "Negotiation/Review": (80, "Commit"),
    "Closed Won": (100, "Closed"),
    "Closed Lost": (0, "Omitted"),
}
_TYPES = {
    "double": "AnnualRevenue Quantity UnitPrice ListPrice Discount TotalPrice TotalOpportunityQuantity",
    "currency": "Amount ExpectedRevenue BudgetedCost ActualCost Open_Pipeline__c",
    "percent": "Probability",
    "int": "NumberOfEmployees SortOrder CallDurationInSeconds DurationInMinutes",
    "boolean": "IsDeleted IsActive IsClosed IsWon HasOpportunityLineItem IsPrimary IsAllDayEvent HasOptedOutOfEmail "
    "IsConverted",
    "date": "CloseDate StartDate EndDate ActivityDate ServiceDate Birthdate ConvertedDate",
    "datetime": "CreatedDate LastModifiedDate SystemModstamp StartDateTime EndDateTime",
    "email": "Email",
    "phone": "Phone MobilePhone HomePhone Fax",
}
TYPE_OF = {name: kind for kind, names in _TYPES.items() for name in names.split()} | {"Id": "id"}
_AUDIT = "CreatedDate CreatedById LastModifiedDate LastModifiedById SystemModstamp"
_ADDRESS = "{0}Street {0}City {0}State {0}PostalCode {0}Country"


@dataclass(frozen=True)
class ObjectType:
    """An object: its key prefix, the fields that can be set, the relationships (name → field, object) it has."""

    name: str
    prefix: str
    settable: tuple[str, ...]
    parents: dict[str, tuple[str, str]] = field(default_factory=dict)
    calculated: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    cascades: bool = False
    """whether it is deleted along with its parents"""

    @property
    def system(self) -> tuple[str, ...]:
        if self.name == HISTORY:
            return ("Id", "IsDeleted", "CreatedDate", "CreatedById")
        return ("Id", *(() if self.name == "User" else ("IsDeleted",)), *_AUDIT.split())

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.system, *self.settable, *self.derived, *self.calculated)

    @property
    def mergeable(self) -> bool:
        return self.name in ("Account", "Contact", "Lead")


def _object(
    name: str,
    prefix: str,
    settable: str,
    *,
    derived: str = "",
    calculated: str = "",
    cascades: bool = False,
    **parents: str,
) -> ObjectType:
    pairs = {
        relation: (field_, target) for relation, (field_, target) in ((r, p.split(">")) for r, p in parents.items())
    }
    references = [field_ for field_, _ in pairs.values()]
    names = dict.fromkeys([*references, *settable.split(), EXTERNAL_ID])
    return ObjectType(name, prefix, tuple(names), pairs, tuple(calculated.split()), tuple(derived.split()), cascades)


OBJECTS: dict[str, ObjectType] = {
    each.name: each
    for each in (
        _object(
            "Account",
            "001",
            "Name Tenant_Id__c Region__c Type Industry NumberOfEmployees AnnualRevenue Website Phone Fax Description "
            f"OwnerId {_ADDRESS.format('Billing')} {_ADDRESS.format('Shipping')}",
            derived="MasterRecordId",
            calculated="Open_Pipeline__c",
            Parent="ParentId>Account",
        ),
        _object(
            "User",
            "005",
            "Username Email FirstName LastName Title Department Phone MobilePhone IsActive UserType ProfileId "
            "UserRoleId",
            derived="Name",
            Manager="ManagerId>User",
        ),
        _object(
            "Campaign",
            "701",
            "Name Type Status IsActive StartDate EndDate BudgetedCost ActualCost ExpectedRevenue Description OwnerId",
            Parent="ParentId>Campaign",
        ),
        _object(
            "Lead",
            "00Q",
            "FirstName LastName Title Company Email Phone MobilePhone Website Description LeadSource Status Rating "
            f"Industry NumberOfEmployees AnnualRevenue OwnerId {_ADDRESS.format('')}",
            derived="Name MasterRecordId IsConverted ConvertedDate ConvertedAccountId ConvertedContactId "
            "ConvertedOpportunityId",
        ),
        _object(
            "Contact",
            "003",
            "Salutation FirstName LastName Title Department Birthdate Email Phone MobilePhone HomePhone Fax "
            f"Description LeadSource HasOptedOutOfEmail OwnerId {_ADDRESS.format('Mailing')}",
            derived="Name MasterRecordId",
            cascades=True,
            Account="AccountId>Account",
            ReportsTo="ReportsToId>Contact",
        ),
        _object(
            "Opportunity",
            "006",
            "Name Description NextStep StageName Amount CurrencyIsoCode TotalOpportunityQuantity CloseDate Type "
            "LeadSource ContactId Pricebook2Id OwnerId",
            derived="ForecastCategoryName IsClosed IsWon Probability ExpectedRevenue HasOpportunityLineItem",
            calculated="Account_Industry__c",
            cascades=True,
            Account="AccountId>Account",
            Campaign="CampaignId>Campaign",
        ),
        _object(
            "OpportunityLineItem",
            "00k",
            "PricebookEntryId Product2Id ProductCode Name Quantity UnitPrice ListPrice Discount ServiceDate SortOrder "
            "Description",
            derived="TotalPrice",
            cascades=True,
            Opportunity="OpportunityId>Opportunity",
        ),
        _object(
            "OpportunityContactRole",
            "00K",
            "Role IsPrimary",
            cascades=True,
            Opportunity="OpportunityId>Opportunity",
            Contact="ContactId>Contact",
        ),
        ObjectType(
            HISTORY,
            "017",
            (),
            {"Opportunity": ("OpportunityId", "Opportunity")},
            derived=("OpportunityId", "Field", "DataType", "OldValue", "NewValue"),
            cascades=True,
        ),
        _object(
            "Task",
            "00T",
            "WhoId WhatId Subject Description TaskSubtype Status Priority ActivityDate CallType CallDurationInSeconds "
            "OwnerId",
            derived="IsClosed",
            cascades=True,
            Account="AccountId>Account",
        ),
        _object(
            "Event",
            "00U",
            "WhoId WhatId Subject Description Location EventSubtype IsAllDayEvent StartDateTime EndDateTime "
            "DurationInMinutes OwnerId",
            cascades=True,
            Account="AccountId>Account",
        ),
        _object("Visit__c", "a00", "Notes__c Minutes__c", Account__r="Account__c>Account"),
    )
}
BY_PREFIX = {each.prefix: each.name for each in OBJECTS.values()}


def children_of(name: str) -> list[tuple[ObjectType, str]]:
    """The objects that refer to this one, each with the field that does."""
    return [(each, field_) for each in OBJECTS.values() for field_, target in each.parents.values() if target == name]


def identifier(prefix: str, number: int) -> str:
    """The 18 characters of a record: prefix, number, and the three that tell the case of the first 15."""
    short = f"{prefix}{number:012d}"
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    parts = [short[start : start + 5] for start in (0, 5, 10)]
    return short + "".join(letters[sum(1 << n for n, c in enumerate(part) if c.isupper())] for part in parts)


def type_of(name: str) -> str:
    """The type of a field as ``describe`` tells it."""
    return TYPE_OF.get(name) or ("reference" if name.endswith("Id") else "string")


def fits(name: str, value: object) -> bool:
    """Whether a value may be put into a field."""
    kind = type_of(name)
    if value is None:
        return True
    if kind in ("double", "currency", "percent", "int"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if kind == "date":
        try:
            date.fromisoformat(value)
        except ValueError:
            return False
    return True
