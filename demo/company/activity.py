"""What the people of a tenant do in half a day: a pure function of seed, standing and the tenant's state.

The state passed in is brought forward, so that it equals what the database will hold once the batch is committed.
"""

from __future__ import annotations

import base64
import random
from datetime import date, timedelta

from demo.company import words
from demo.company.roster import FEWEST_USERS, MOST_USERS, Tenant, bits_of
from demo.company.world import (
    RECENT_DAYS,
    Batch,
    Comment,
    Run,
    Standing,
    Task,
    TenantState,
    midnight,
    stamp,
    unit_bounds,
)

# Monday first: the share of a full working day's activity.
WEEK = (1.0, 1.05, 1.0, 0.97, 0.85, 0.16, 0.11)
_MINUTE = 60_000
_BIG_INPUT_BYTES = 9_000  # with base64 well above the 8 kB at which Postgres stores a value out of line


def plan(
    *, seed: int, tenant: Tenant, standing: Standing, start: date, day: int, unit: int, state: TenantState
) -> Batch:
    """The transaction of one tenant in one unit of one day, with the ledger entries that follow from it."""
    return _Unit(seed, tenant, standing, start, day, unit, state).plan()


class _Unit:
    def __init__(
        self, seed: int, tenant: Tenant, standing: Standing, start: date, day: int, unit: int, state: TenantState
    ) -> None:
        self.rng = random.Random(f"{seed}/{tenant.index}/{day}/{unit}")
        self.tenant, self.standing, self.state = tenant, standing, state
        self.day, self.unit = day, unit
        self.date = start + timedelta(days=day)
        self.begin, self.end = unit_bounds(start, day, unit)
        self.recent = midnight(start, day - RECENT_DAYS)
        self.batch = Batch(str(tenant.id))
        self._made = 0

    def plan(self) -> Batch:
        self.state.forget_before(self.recent)
        if self.state.standing is None:
            self._sign_up()
            return self.batch
        self._finish_runs()
        if self.unit == 0 and self.state.standing[1] != "churned":
            self._administer()
        if self.unit > 0:  # what was agreed in the morning holds from noon
            self._follow_standing()
        if self.state.standing[1] != "churned":
            if self.unit > 0:
                self._tidy_up()
            self._work(trial=self.state.standing[1] == "trial")
        return self.batch

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _id(self, kind: str) -> str:
        self._made += 1
        return self.tenant.new_id(f"{kind}/{self.day}/{self.unit}/{self._made}")

    def _moment(self) -> int:
        """An instant of the unit: near the middle of the working half-day, now and then at any hour."""
        if self.rng.random() < 0.03:
            return self.rng.randrange(self.begin, self.end)
        hour = self.rng.gauss(9.75, 1.1) if self.unit == 0 else self.rng.gauss(2.9, 1.7)
        return min(max(self.begin + int(hour * 60 * _MINUTE), self.begin), self.end - 1)

    def _ip(self, user: str) -> str:
        bits = bits_of(user) >> 40
        if bits % 7 == 0:
            return f"2001:db8:{bits >> 4 & 0xFFFF:x}::{bits >> 20 & 0xFFFF:x}"
        return f"{('192.0.2', '198.51.100', '203.0.113')[bits % 3]}.{bits >> 4 & 0xFF}"

    def _fill(self, template: str, user: str) -> str:
        person = self.tenant.person(user)
        noun = self.rng.choice(words.PROJECT_NOUNS)
        ref = f"{self.rng.getrandbits(32):08x}"
        return template.format(name=person.full_name, email=person.email, phone=person.phone, noun=noun, ref=ref)

    def _audit(
        self, actor: str | None, action: str, target: tuple[str, str | None], instant: int, **detail: object
    ) -> None:
        self.state.audit_id += 1
        self.batch.insert(
            "audit_log",
            id=self.state.audit_id,
            actor_id=actor,
            action=action,
            target_type=target[0],
            target_id=target[1],
            ip=self._ip(actor) if actor else None,
            detail=detail,
            occurred_at=stamp(instant),
        )

    # -- the tenant itself -------------------------------------------------------------------------------------------

    def _sign_up(self) -> None:
        """The tenant's first hour: directory entry, everyone who works there, their workspaces and first projects."""
        tenant, standing, at = self.tenant, self.standing, self.begin + 11 * 60 * _MINUTE
        self.batch.insert(
            "tenants",
            id=str(tenant.id),
            name=tenant.name,
            slug=tenant.slug,
            plan=standing.plan,
            tier=tenant.tier,
            region=tenant.region,
            status=standing.status,
            billing_email=tenant.founder(0).email,
            stripe_customer_id=standing.stripe_customer_id,
            created_at=stamp(at),
            updated_at=stamp(at),
        )
        people = [tenant.founder(n).id for n in range(tenant.users)]
        for n, user in enumerate(people):
            self._add_user(user, "owner" if n == 0 else "admin" if n % 25 == 1 else "member", "active", at + n * 400)
        for _ in range(1 + min(tenant.users // 40, 20)):
            self._add_workspace(people[0], at + 30 * _MINUTE)
        rooms = sorted(self.state.workspaces)
        for user in people:
            for room in self.rng.sample(rooms, k=2 if len(rooms) > 1 and self.rng.random() < 0.25 else 1):
                self._add_member(room, user, at + 40 * _MINUTE)
        for _ in range(2 + tenant.users // 10):
            self._add_project(self.rng.choice(people), at + 50 * _MINUTE)
        for project in sorted(self.state.projects):
            for _ in range(3):
                self._add_task(project, self.rng.choice(people), at + 55 * _MINUTE, run=None)
        self.state.standing = (standing.plan, standing.status, standing.seats)
        self._grant(at)
        self._audit(people[0], "tenant.create", ("tenant", str(tenant.id)), at, plan=standing.plan)

    def _follow_standing(self) -> None:
        """Carry what was agreed commercially into the product: plan, status, entitlements."""
        wanted = (self.standing.plan, self.standing.status, self.standing.seats)
        if wanted == self.state.standing or self.state.standing is None:
            return
        at = self.begin + 5 * _MINUTE
        plan_before, status_before, seats_before = self.state.standing
        if (plan_before, status_before) != wanted[:2]:
            self.batch.update(
                "tenants", {"id": str(self.tenant.id)}, plan=wanted[0], status=wanted[1], updated_at=stamp(at)
            )
            self._audit(None, "tenant.update", ("tenant", str(self.tenant.id)), at, plan=wanted[0], status=wanted[1])
        if (plan_before, seats_before) != (wanted[0], wanted[2]):
            self._grant(at)
        self.state.standing = wanted

    def _grant(self, at: int) -> None:
        """Close the open entitlements, if any, and open those of the plan and seats."""
        plan, seats = self.standing.plan, self.standing.seats
        scale = {"starter": 1, "growth": 4, "enterprise": 20}[plan]
        limits = (
            ("seats", seats, "users"),
            ("workflow_runs", 1_000 * scale, "runs a month"),
            ("api_requests", 20_000 * scale, "requests a month"),
            ("ai_tokens", 2_000_000 * scale, "tokens a month"),
        )
        for feature, limit, unit in limits:
            if (before := self.state.entitlements.get(feature)) is not None:
                self.batch.update("entitlements", {"id": before}, valid_to=stamp(at), updated_at=stamp(at))
            self.state.entitlements[feature] = self._id("entitlement")
            self.batch.insert(
                "entitlements",
                id=self.state.entitlements[feature],
                feature=feature,
                limit_value=limit,
                unit=unit,
                valid_from=stamp(at),
                updated_at=stamp(at),
            )

    # -- administration ----------------------------------------------------------------------------------------------

    def _administer(self) -> None:
        """The morning's housekeeping by admins: people come, change and go; rooms and projects open and close."""
        rng, state, at = self.rng, self.state, self.begin + 8 * 60 * _MINUTE
        owner = self.tenant.founder(0).id
        active = [user for user in state.crowd()[0] if user != owner]
        for user in sorted(user for user, status in state.users.items() if status == "invited"):
            roll = rng.random()
            if roll < 0.4:
                state.set_user(user, "active")
                self.batch.update("users", {"id": user}, status="active", updated_at=stamp(at))
            elif roll < 0.45:
                state.set_user(user, None)
                state.members = {pair for pair in state.members if pair[1] != user}
                self.batch.delete("users", id=user)
                self._audit(owner, "user.revoke", ("user", user), at)
        invited = int(rng.expovariate(1 / (0.3 + 0.003 * len(state.users))))
        for _ in range(min(invited, MOST_USERS - len(state.users))):
            user = self._id("user")
            self._add_user(user, rng.choice(("member", "member", "viewer")), "invited", at)
            self._add_member(rng.choice(sorted(state.workspaces)), user, at)
            self._audit(owner, "user.invite", ("user", user), at)
        if rng.random() < 0.12 and len(active) > FEWEST_USERS:
            user = rng.choice(active)
            state.set_user(user, "deactivated")
            self.batch.update("users", {"id": user}, status="deactivated", updated_at=stamp(at))
            self._audit(owner, "user.deactivate", ("user", user), at)
            active.remove(user)
        if rng.random() < 0.25:
            number = words.phone_number(self.tenant.region, rng.getrandbits(24))
            self.batch.update("users", {"id": rng.choice(active)}, phone=number, updated_at=stamp(at))
        if rng.random() < 0.15:
            self._move_member(at)
        if rng.random() < 0.02:
            self._add_workspace(owner, at)
        elif rng.random() < 0.01 and len(state.workspaces) > 1:
            room = rng.choice(sorted(state.workspaces))
            state.workspaces.remove(room)
            self.batch.update("workspaces", {"id": room}, updated_at=stamp(at), archived_at=stamp(at))
        if rng.random() < 0.12:
            self._add_project(rng.choice(active), at)
        if rng.random() < 0.04 and len(state.projects) > 2:
            project = rng.choice(sorted(state.projects))
            state.projects.remove(project)
            self.batch.update("projects", {"id": project}, updated_at=stamp(at), archived_at=stamp(at))
        elif rng.random() < 0.08:
            budget = f"{rng.randrange(1_000, 90_000)}.{rng.randrange(100):02d}"
            project = rng.choice(sorted(state.projects))
            self.batch.update("projects", {"id": project}, budget=budget, updated_at=stamp(at))

    def _add_user(self, user: str, role: str, status: str, at: int) -> None:
        person = self.tenant.person(user)
        self.state.set_user(user, status)
        locales = words.LOCALES[self.tenant.region]
        self.batch.insert(
            "users",
            id=user,
            email=person.email,
            full_name=person.full_name,
            phone=person.phone,
            role=role,
            status=status,
            locale=locales[bits_of(user) % len(locales)],
            last_login_ip=self._ip(user) if status == "active" else None,
            password_hash=f"$argon2id$v=19$m=65536,t=3,p=4${user[:8]}${self.rng.getrandbits(128):032x}",
            created_at=stamp(at),
            updated_at=stamp(at),
        )

    def _add_workspace(self, creator: str, at: int) -> None:
        room = self._id("workspace")
        self.state.workspaces.add(room)
        name = f"{self.rng.choice(words.WORKSPACES)} {self._made}"
        self.batch.insert(
            "workspaces", id=room, name=name, created_by=creator, created_at=stamp(at), updated_at=stamp(at)
        )

    def _add_member(self, room: str, user: str, at: int) -> None:
        self.state.members.add((room, user))
        role = self.rng.choice(("editor", "editor", "viewer", "admin"))
        self.batch.insert("workspace_members", workspace_id=room, user_id=user, role=role, joined_at=stamp(at))

    def _move_member(self, at: int) -> None:
        room, user = self.rng.choice(sorted(self.state.members))
        target = self.rng.choice(sorted(self.state.workspaces))
        if (target, user) not in self.state.members:
            self.state.members.remove((room, user))
            self.batch.delete("workspace_members", workspace_id=room, user_id=user)
            self._add_member(target, user, at)

    def _add_project(self, owner: str, at: int) -> None:
        project = self._id("project")
        self.state.projects.add(project)
        noun = self.rng.choice(words.PROJECT_NOUNS)
        self.batch.insert(
            "projects",
            id=project,
            workspace_id=self.rng.choice(sorted(self.state.workspaces)),
            name=f"{noun.capitalize()} {self.rng.choice(words.PROJECT_TAILS)}",
            description=f"All about {noun}, run by {self.tenant.person(owner).full_name}.",
            owner_id=owner,
            budget=f"{self.rng.randrange(1_000, 90_000)}.00" if self.rng.random() < 0.7 else None,
            created_at=stamp(at),
            updated_at=stamp(at),
        )

    def _tidy_up(self) -> None:
        """The afternoon's second thoughts: comments edited or taken back, tasks deleted with what hangs on them."""
        rng, state, batch = self.rng, self.state, self.batch
        for task_id in sorted(task_id for task_id, task in state.tasks.items() if task.created >= self.recent):
            if rng.random() < 0.006:
                task = state.tasks.pop(task_id)
                batch.delete("tasks", id=task_id)
                if task.completed is not None:
                    batch.count("tasks_completed", task.completed, task.assignee, -1)
                for comment_id in [key for key, comment in state.comments.items() if comment.task == task_id]:
                    self._take_back(comment_id)  # deleted by the foreign key's cascade
        for comment_id in sorted(state.comments):
            roll = rng.random()
            if roll < 0.01:
                self._take_back(comment_id)
                batch.delete("comments", id=comment_id)
            elif roll < 0.03:
                author = state.comments[comment_id].author
                body = self._fill(rng.choice(words.COMMENT_BODIES) + words.COMMENT_EDITS, author)
                batch.update("comments", {"id": comment_id}, body=body, updated_at=stamp(self._moment()))

    def _take_back(self, comment_id: str) -> None:
        comment = self.state.comments.pop(comment_id)
        self.batch.count("comments", comment.created, comment.author, -1)

    # -- work --------------------------------------------------------------------------------------------------------

    def _work(self, *, trial: bool) -> None:
        """Everyone who is at work in this unit, and what each of them does."""
        rng, state = self.rng, self.state
        ids, weights = state.crowd()
        level = WEEK[self.date.weekday()] * self.tenant.pace * (0.6 if trial else 1.0)
        heads = round(level * rng.uniform(0.9, 1.1) * (4 + len(ids) ** 0.75))
        present = list(dict.fromkeys(rng.choices(ids, cum_weights=weights, k=heads)))
        projects = sorted(state.projects)
        unfinished = sorted(task_id for task_id, task in state.tasks.items() if task.completed is None)
        rng.shuffle(unfinished)
        talked_about = sorted(state.tasks)
        behind = len(unfinished) > 4 * len(projects)
        for user in present:
            run = self._start_run(rng.choice(projects), user) if rng.random() < 0.28 else None
            if rng.random() < 0.3:
                assignee = rng.choice(present) if rng.random() < 0.85 else None
                self._add_task(rng.choice(projects), assignee, self._moment(), run=run if rng.random() < 0.5 else None)
            if unfinished and rng.random() < (0.45 if behind else 0.27):
                self._complete(unfinished.pop(), user)
            if talked_about and rng.random() < 0.25:
                self._comment(rng.choice(talked_about), user)
            if rng.random() < 0.22:
                self._ask_ai(user)
            for _ in range(int(rng.expovariate(1.0))):
                self._call_api(user if rng.random() < 0.8 else None)
            if rng.random() < 0.3:
                self._audit(user, rng.choice(words.AUDIT_ACTIONS), ("user", user), self._moment())
        if self.unit == 1:
            for user in present:
                self.batch.update("users", {"id": user}, last_login_ip=self._ip(user), last_seen_at=stamp(self.end - 1))

    def _start_run(self, project: str, user: str) -> str:
        rng, run, at = self.rng, self._id("run"), self._moment()
        payload: dict[str, object] = {"source": rng.choice(("form", "inbox", "crm")), "batch": rng.randrange(500)}
        if rng.random() < 0.02:
            payload["attachment"] = base64.b64encode(rng.randbytes(_BIG_INPUT_BYTES)).decode()
        elif rng.random() < 0.3:
            payload["contact"] = self.tenant.person(user).email
        status = rng.choices(("succeeded", "failed", "running", "queued"), weights=(56, 4, 32, 8))[0]
        duration = int(rng.lognormvariate(9.0, 1.2))
        finished = stamp(at + duration) if status in ("succeeded", "failed") else None
        self.batch.insert(
            "workflow_runs",
            id=run,
            project_id=project,
            started_by=user,
            workflow=rng.choice(words.WORKFLOWS),
            trigger=rng.choice(("manual", "manual", "schedule", "api")),
            status=status,
            started_at=stamp(at),
            finished_at=finished,
            duration_ms=duration if finished else None,
            input=payload,
            updated_at=finished or stamp(at),
        )
        if status == "queued":  # a worker takes it before the transaction ends
            self.batch.update("workflow_runs", {"id": run}, status="running", updated_at=stamp(at + 1500))
        if finished is None:
            self.state.runs[run] = Run(at, user)
        self.batch.count("workflow_runs", at, user)
        if status == "failed":
            self.batch.count("workflow_runs_failed", at)
        return run

    def _finish_runs(self) -> None:
        """What was still running at the end of the unit before is finished in this one."""
        for run_id, run in sorted(self.state.runs.items()):
            failed = self.rng.random() < 0.1
            finished = self.begin + self.rng.randrange(30 * _MINUTE)
            self.batch.update(
                "workflow_runs",
                {"id": run_id},
                status="failed" if failed else "succeeded",
                finished_at=stamp(finished),
                duration_ms=finished - run.started,
                updated_at=stamp(finished),
            )
            if failed:
                self.batch.count("workflow_runs_failed", run.started)
        self.state.runs.clear()

    def _add_task(self, project: str, assignee: str | None, at: int, *, run: str | None) -> None:
        task = self._id("task")
        self.state.tasks[task] = Task(at, assignee)
        self.batch.insert(
            "tasks",
            id=task,
            project_id=project,
            workflow_run_id=run,
            title=self._fill(self.rng.choice(words.TASK_TITLES), assignee or self.tenant.founder(0).id),
            assignee_id=assignee,
            status="open",
            due_on=(self.date + timedelta(days=self.rng.randrange(2, 21))).isoformat(),
            created_at=stamp(at),
            updated_at=stamp(at),
        )

    def _complete(self, task_id: str, user: str) -> None:
        """Done by its assignee; by ``user`` when the assignee left; by nobody in particular when it had none."""
        task, at = self.state.tasks[task_id], self._moment()
        task.completed = at
        if task.assignee is not None and self.state.users.get(task.assignee) != "active":
            task.assignee = user
        self.batch.update(
            "tasks",
            {"id": task_id},
            assignee_id=task.assignee,
            status="done",
            completed_at=stamp(at),
            updated_at=stamp(at),
        )
        self.batch.count("tasks_completed", at, task.assignee)

    def _comment(self, task_id: str, user: str) -> None:
        comment, at = self._id("comment"), self._moment()
        self.state.comments[comment] = Comment(at, task_id, user)
        body = self._fill(self.rng.choice(words.COMMENT_BODIES), user)
        self.batch.insert(
            "comments",
            id=comment,
            task_id=task_id,
            author_id=user,
            body=body,
            created_at=stamp(at),
            updated_at=stamp(at),
        )
        self.batch.count("comments", at, user)

    def _ask_ai(self, user: str) -> None:
        rng, at = self.rng, self._moment()
        model, prompt_price, completion_price = rng.choice(words.MODELS)
        prompt, completion = int(rng.lognormvariate(6.5, 0.8)), int(rng.lognormvariate(5.5, 0.9))
        cost = round(prompt * prompt_price + completion * completion_price)  # US dollars a million tokens: millionths
        self.batch.insert(
            "ai_requests",
            id=self._id("ai"),
            user_id=user,
            model=model,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_usd=f"{cost // 10**6}.{cost % 10**6:06d}",
            prompt=self._fill(rng.choice(words.PROMPTS), user),
            occurred_at=stamp(at),
        )
        self.batch.count("ai_requests", at, user)
        self.batch.count("ai_tokens", at, n=prompt + completion)
        self.batch.count("ai_cost_microusd", at, n=cost)

    def _call_api(self, user: str | None) -> None:
        rng, at = self.rng, self._moment()
        method, endpoint = rng.choice(words.ENDPOINTS)
        status = rng.choice(words.STATUS_CODES)
        self.batch.insert(
            "api_requests",
            id=self._id("api"),
            user_id=user,
            endpoint=endpoint,
            method=method,
            status_code=status,
            latency_ms=int(rng.lognormvariate(4.2, 0.7)),
            client_ip=self._ip(user) if user else "192.0.2.1",
            occurred_at=stamp(at),
        )
        self.batch.count("api_requests", at, user)
        if status >= 500:
            self.batch.count("api_errors", at)
