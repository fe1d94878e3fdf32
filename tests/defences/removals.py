"""How to remove the defence against each attack of docs/attacks.md."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Removal:
    """The number of the attack, and the text that removes its defence: `new` replaces each `old` in `file`."""

    attack: int
    file: str
    old: str
    new: str = ""


REDIRECTED = """        if response.status in REDIRECTS:
            where = {key.lower(): value for key, value in response.headers}[b"location"].decode()
            return post(where, body, headers, allow_private=allow_private)
        return Response("""

POLLING = """        for position in [each for each in positions for _ in self._waiting.get(each, ())]:
            read(self.begin, position)
"""

REMOVALS = (
    Removal(1, "api/fair_queue.py", "max(slots - 1, 1)", "slots"),
    Removal(2, "api/fair_queue.py", "self._waiting.move_to_end(owner)", "pass"),
    Removal(3, "api/fair_queue.py", "self._free += 1", "self._free += 0"),
    Removal(4, "api/decoder.py", "schedule(*work, timeout=self.seconds)", "schedule(*work)"),
    Removal(5, "api/decoder.py", "resource.setrlimit(resource.RLIMIT_AS, (memory, memory))", "pass"),
    Removal(6, "api/decoder.py", "except ProcessExpired:  # perhaps", "except ZeroDivisionError:  # perhaps"),
    Removal(7, "api/decoder.py", "    close_ways_out()\n", "    pass\n"),
    Removal(8, "api/decoder.py", "Thread(target=_end_with_parent, daemon=True).start()", "pass"),
    Removal(9, "api/body_limit.py", "min(IDLE_SECONDS, left)", "left + 3600"),
    Removal(10, "api/body_limit.py", "min(IDLE_SECONDS, left)", "IDLE_SECONDS"),
    Removal(11, "api/body_shares.py", "if self._held[project_id] + size > self.most:", "if False:"),
    Removal(12, "api/server.py", "self.loop.call_at(until, self.timeout_keep_alive_handler)", "None"),
    Removal(13, "api/server.py", '"h11_max_incomplete_event_size": MAX_HEADER_BYTES',
            '"h11_max_incomplete_event_size": 1 << 30'),
    Removal(14, "api/server.py", '"limit_concurrency": settings.max_connections', '"backlog": 2048'),
    Removal(15, "api/job_watch.py", "self.streams[project_id] < self.max_streams", "True"),
    Removal(16, "api/job_watch.py", "        for position in positions:\n            sequence",
            POLLING + "            sequence"),
    Removal(17, "deploy/nginx.conf", "    limit_req zone=requests burst=200 nodelay;\n"),
    Removal(18, "ledger/quotas.py", "    _lock_project(session, project_id)\n    return _image_statuses",
            "    return _image_statuses"),
    Removal(19, "ledger/quotas.py", '        _of_count("image-bytes", settings.max_image_bytes, int(size)),\n'),
    Removal(20, "ledger/quotas.py", 'return [_of_count("webhook-endpoints", settings.max_webhook_endpoints, count)]',
            "return []"),
    Removal(21, "ledger/quotas.py", "    if queue.remaining < MARGIN:", "    if False:"),
    Removal(22, "worker/attempt.py", "if now - self._began > self.max_seconds:", "if False:"),
    Removal(23, "worker/attempt.py", "if silent_seconds > stuck_seconds:", "if False:"),
    Removal(24, "worker/receiver_limiter.py",
            "if self.draining() or self._busy_groups[group] >= self.max_group_threads:", "if self.draining():"),
    Removal(25, "worker/receiver_limiter.py", "            receivers.move_to_end(receiver)\n"),
    Removal(26, "ledger/deliveries.py", "partition_by=Delivery.project_id, order_by", "order_by"),
    Removal(27, "ledger/safehttp.py", "pool.stream(method, normal_url(url)", "pool.stream(method, url"),
    Removal(28, "worker/webhooks.py", "except Exception as reason:", "except ZeroDivisionError as reason:"),
    Removal(29, "ledger/deliveries.py", "if delivery.attempts > MAX_ATTEMPTS:", "if False:"),
    Removal(30, "ledger/deliveries.py", "Delivery.next_attempt_at == sent.leased_until", "Delivery.attempts >= 0"),
    Removal(31, "ledger/addresses.py",
            "if not allow_private and not all(is_global(address) for address in addresses):", "if False:"),
    Removal(32, "ledger/safehttp.py", "        return Response(", REDIRECTED),
    Removal(33, "ledger/safehttp.py", "self._stream.read(max_bytes, _remaining(self._deadline))",
            "self._stream.read(max_bytes, timeout)"),
    Removal(34, "ledger/safehttp.py", "        if len(body) >= MAX_BODY_BYTES:\n            break\n"),
    Removal(35, "ledger/database.py", "        hide_parameters=True,\n"),
    Removal(36, "tests/support/canary.py", "if text and (found := self.found_in(text)):",
            "if (found := self.found_in(text)) and not text:"),
    Removal(37, "worker/run_job.py",
            """f"an unexpected {type(error).__name__}; the worker's log has the details\"""", "str(error)"),
    Removal(38, "ledger/erasures.py", "idempotency.redact(session, erasure.project_id, erasure.erased)", "pass"),
    Removal(39, "ledger/erasures.py", "moment - timedelta(seconds=settle_seconds)", "moment"),
    Removal(40, "ledger/erasures.py", "table.project_id == project_id, _is_in(table.id, row_ids)",
            "_is_in(table.id, row_ids)"),
    Removal(41, "lipe_core/training/regularization.py",
            "if not digest.exists() or digest.read_text() != _digest(file):", "if False:"),
    Removal(42, "lipe_core/training/regularization.py", "        _evict(cache)\n"),
    Removal(43, "ledger/audit/artefacts.py", ', ("image", Image)'),
    Removal(44, "ledger/object_stream.py", "class NoSuchObject(RuntimeError):", "class NoSuchObject(StorageError):"),
    Removal(45, "ledger/reaper.py", "if math.isfinite(max_lease_seconds):", "if False:"),
    Removal(46, "ledger/usage.py", "since_claim if seconds is None else literal(seconds, Double)", "since_claim"),
    Removal(47, "api/consent.py",
            """return None if is_known(class_noun) else f"LIPE does not know whether {class_noun!r} is a person\"""",
            "return None"),
    Removal(48, "api/consent.py", "_person(class_noun, category) or _face(references)",
            "_person(class_noun, category)"),
    Removal(49, "api/consent.py", "if consents.ended(session, subject_ids):", "if False:"),
    Removal(50, "ledger/consent_ends.py", "consents.stop_jobs(session, consent.subject_id)", "pass"),
    Removal(51, "migrations/versions/0018_decisions.py", "    for trigger in TRIGGERS:", "    for trigger in ():"),
    Removal(52, "api/rate_limit.py", "is_allowed = content >= 1", "is_allowed = True"),
    Removal(53, "ledger/consent_ends.py", "with suppress(erasures.InUse):", "with suppress(KeyError):"),
    Removal(54, "ledger/roles.py",
            '**dict.fromkeys(("consents", "edits", "images", "subject_references", "subjects"), READ),',
            '**dict.fromkeys(("consents", "edits", "images", "subject_references", "subjects"), CHANGE),'),
    Removal(55, "docker-compose.yml",
            "- {source: dispatcher_database_url, target: lipe_database_url}", "- lipe_database_url"),
    Removal(56, "docker-compose.yml", "    networks: [dispatcher]\n", "    networks: [dispatcher, outside]\n"),
    Removal(57, "docker-compose.yml", "    networks: [dispatcher]\n", "    networks: [dispatcher, workers]\n"),
    Removal(58, "docker-compose.yml", "FORWARDED_ALLOW_IPS: ${LIPE_FRONT_SUBNET:-10.213.77.0/28}",
            'FORWARDED_ALLOW_IPS: "*"'),
    Removal(59, "provenance/reading.py", 'if broken or report["validation_state"] == "Invalid":', "if False:"),
    Removal(60, "provenance/reading.py", 'if broken or report["validation_state"] == "Invalid":', "if False:"),
    Removal(61, "provenance/reading.py",
            'return report if report["active_manifest"] in report["manifests"] else UNREADABLE_REPORT',
            "return report"),
    Removal(62, "api/routes/edits.py",
            "await require_policy(service, caller_of(request), for_dry_run(partial(_question, unkeyed, new_edit)))",
            "pass"),
    Removal(63, "api/routes/captions.py",
            "await require_policy(idempotent.service, caller_of(request)", "print((request)"),
    Removal(64, "worker/policy.py", "    return verdict.is_allowed\n", "    return True\n"),
    Removal(65, "api/other_people.py",
            'if shown and not has_statement and settings.other_people == "consent":', "if False:"),
    Removal(66, "requirements/build.txt", "--hash=sha256:", "--hash=md5:"),
    Removal(67, "deploy/containers.py", 'found.append("the last stage runs as root: name another USER")', "pass"),
    Removal(68, "deploy/containers.py", 'yield "keeps capabilities: set cap_drop to [ALL]"', "pass"),
    Removal(69, "ledger/addresses.py", "return future.result(LOOKUP_SECONDS)", "return future.result()"),
    Removal(70, "worker/run_job.py", "    except Exception as error:\n        _fail(",
            "    except ZeroDivisionError as error:\n        _fail("),
    Removal(71, "api/problem_answers.py", "if isinstance(error, UNAVAILABLE):", "if False:"),
    Removal(72, "cli/audit.py", "            worker_data=worker_data,\n", "            worker_data=(),\n"),
    Removal(73, "api/service.py", "FairQueue(SUBMITTING_THREADS, share=1)",
            "FairQueue(SUBMITTING_THREADS, share=SUBMITTING_THREADS)"),
    Removal(74, "api/decoder.py", "    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"),
    Removal(75, "docker-compose.yml", "- -ip.bind=127.0.0.1", "- -ip.bind=0.0.0.0"),
    Removal(76, "deploy/make_secrets.sh", "resetkeys resetchannels -@all $opens $2", "allkeys allchannels +@all"),
    Removal(77, "ledger/consents.py", "    stop_jobs(session, subject_id)\n"),
    Removal(78, "api/decoder_turn.py", "if await request.is_disconnected():", "if False:"),
)  # fmt: skip
