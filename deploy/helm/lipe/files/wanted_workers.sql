SELECT CAST(coalesce(sum(jobs.running + least(jobs.queued, greatest(0, coalesce(projects.max_running_jobs, :max_running) - jobs.busy))), 0) AS double precision)
FROM (
    SELECT project_id, sum(busy) AS busy, sum(running) AS running, sum(queued) AS queued
    FROM (
        SELECT project_id, 1 AS busy, CAST(kind = ANY (:kinds) AND (:base_model IS NULL OR base_model IS NULL OR base_model = :base_model) AS integer) AS running, 0 AS queued
        FROM jobs WHERE state = 'running'
        UNION ALL
        SELECT project_id, 0, 0, CAST(kind = ANY (:kinds) AND (:base_model IS NULL OR base_model IS NULL OR base_model = :base_model) AS integer)
        FROM jobs WHERE state = 'queued'
    ) AS job
    GROUP BY project_id
) AS jobs
JOIN projects ON projects.id = jobs.project_id
