"""What the application does with orders. An item is {"id": …, "cents": …, "country": …}."""

TAX_PERCENT = {"DE": 19, "FR": 20, "LU": 17}


class Refused(Exception):
    """No other try will help."""


class NotYet(Exception):
    """Another try may help."""


def setup(order, call, database):
    if type(order.get("cents")) is not int or order["cents"] <= 0:
        raise Refused("cents must be an integer above 0")


def extraction(order, call, database):
    # Stands for whatever is only missing now: a service that is down, a row that somebody holds.
    if order.get("held") and call["attempt"] == 1:
        raise NotYet("the order is held")
    if order.get("country") not in TAX_PERCENT:
        raise Refused(f"no tax rate for {order.get('country')}")
    return {"tax": order["cents"] * TAX_PERCENT[order["country"]] // 100}


def annotation(order, call, database):
    return {"size": "large" if order["cents"] >= 10_000 else "small"}


def validation(order, call, database):
    if order["cents"] > 1_000_000:
        raise Refused("too much for an order without a signature")


def metadata(call):
    taxes = call["inputs"]["extraction"]["items"]
    return {
        "orders": len(call["items"]),
        "cents": sum(order["cents"] + taxes[order["id"]]["tax"] for order in call["items"]),
    }


def persistence(order, call, database):
    # A row more each time it runs: that it runs once is owed to the key alone. A rerun of the batch is a new run, whose
    # keys are others; what must not happen twice even then needs a key of its own, here the order's id.
    tax = call["inputs"]["extraction"]["items"][order["id"]]["tax"]
    database.execute("INSERT INTO ledger VALUES (?, ?, ?)", (call["batch"], order["id"], order["cents"] + tax))


FOR_EACH = {
    "setup": setup,
    "extraction": extraction,
    "annotation": annotation,
    "validation": validation,
    "persistence": persistence,
}
FOR_ALL = {"metadata": metadata}
NAMES = FOR_EACH.keys() | FOR_ALL.keys()
